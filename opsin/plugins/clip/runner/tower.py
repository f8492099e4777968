"""The text tower: sentences to vectors in the space of the pictures, and the scale of logits."""

import math
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from transformers import CLIPTextModelWithProjection

from opsin import LoadContext, LocatedModel
from opsin.core.neural import UnusableWeights, fit_pretrained, memory_of, place
from opsin.plugins.clip.plugin import ROLE
from opsin.plugins.clip.runner.checkpoint import (
    LOGIT_SCALE,
    TEXT,
    read_configs,
    read_tower,
)

Tokens = list[int]
"""A sentence: start, its parts, end."""
_AT_ONCE = 64
"""Sentences that share a forward pass."""


class TextTower:
    """One for all runners that need texts; `tokens` may be called on any thread."""

    def __init__(self, model: LocatedModel, context: LoadContext) -> None:
        name, (config, _) = model.requirement.name, read_configs(model)
        weights = read_tower(model, (*TEXT, LOGIT_SCALE))
        if LOGIT_SCALE not in weights:
            raise UnusableWeights(f"the weights of {name!r} lack {LOGIT_SCALE}")
        self.logit_scale = math.exp(float(weights.pop(LOGIT_SCALE)))
        self._tokenizer = Tokenizer.from_file(str(model.file("tokenizer.json")))
        context_length = config.max_position_embeddings
        self._tokenizer.enable_truncation(context_length)
        self._tokenizer.no_padding()
        if self._tokenizer.get_vocab_size() > config.vocab_size:
            raise UnusableWeights(f"the tokenizer.json of {name!r} has more tokens than its model")
        self._device = context.device
        # Compiled, it would be so again for every length.
        self._shortest = context_length if context.acceleration.compile else 0
        network = fit_pretrained(CLIPTextModelWithProjection, config, weights, name)
        self._network = place(network, context, {"input_ids": self._ids([self.tokens("")])})

    def tokens(self, text: str) -> Tokens:
        """The text as the model reads it, cut to its context (77 tokens), the end kept."""
        return list(self._tokenizer.encode(text).ids)

    @torch.inference_mode()
    def embed(self, sentences: Sequence[Tokens]) -> torch.Tensor:
        """One row a sentence, sentences x dimensions, float32, on the CPU, not normalised.

        Of a pass, all are made as long as the longest, see `_ids`.
        """
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        rows: list[torch.Tensor] = [torch.empty(0)] * len(sentences)
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            ids = self._ids([sentences[index] for index in part]).to(self._device)
            output = self._network(input_ids=ids).text_embeds.to("cpu", torch.float32)
            for index, row in zip(part, output, strict=True):
                rows[index] = row
        return torch.stack(rows)

    def _ids(self, sentences: Sequence[Tokens]) -> torch.Tensor:
        """Sentences x length, filled up with the end of each.

        That changes no vector: it is taken at the first end, and a token sees only those before it.
        """
        length = max(self._shortest, *(len(tokens) for tokens in sentences))
        return torch.tensor([tokens + tokens[-1:] * (length - len(tokens)) for tokens in sentences])

    def memory_bytes(self) -> int:
        return memory_of(self._network)


def shared_text_tower(context: LoadContext) -> TextTower:
    """The one text tower of the model in the role `encoder`."""
    model = context.models[ROLE]

    def build() -> TextTower:
        return TextTower(model, context)

    return context.share(ROLE, build)
