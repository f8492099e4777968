"""Texts to vectors that are compared with those of pictures."""

from collections.abc import Sequence
from typing import Any

import torch

from opsin import Embedding, LoadContext, Runner
from opsin.core.neural import embedding_of
from opsin.plugins.clip.plugin import ROLE
from opsin.plugins.clip.runner.tower import Tokens, shared_text_tower


class ClipTextRunner(Runner[Any, Embedding]):
    """One vector a text; not normalised, as those of pictures are not."""

    max_batch = 64

    def __init__(self, context: LoadContext) -> None:
        self._fingerprint = context.models[ROLE].fingerprint
        self._tower = shared_text_tower(context)

    def prepare(self, item: Any) -> Tokens:
        """The tokens of a text."""
        return self._tower.tokens(item)

    def run(self, batch: Sequence[Tokens]) -> Sequence[torch.Tensor]:
        return list(self._tower.embed(batch))

    def encode(self, output: torch.Tensor) -> Embedding:
        return embedding_of(output, self._fingerprint)

    def memory_bytes(self) -> int:
        return self._tower.memory_bytes()

    def close(self) -> None:
        del self._tower
