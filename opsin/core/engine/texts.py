"""Texts on their way to vectors: one request of an operation's text embedder."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from opsin.core.contract import Embedding
from opsin.core.engine.batching import Completed, Failure, Ticket
from opsin.core.engine.failures import wrong_type
from opsin.core.engine.loading import described
from opsin.core.engine.request import Request
from opsin.core.engine.slots import RunnerSlot
from opsin.core.errors import OperationFailed


class TextRequest(Request[list[Embedding]]):
    """Texts that one caller wants embedded; its future gets one embedding each, in their order."""

    def __init__(
        self,
        texts: Sequence[str],
        slot: RunnerSlot,
        ended: Callable[[], None],
        future: "asyncio.Future[list[Embedding]]",
        *,
        deadline: float | None,
        priority: int,
    ) -> None:
        super().__init__(future, len(texts), deadline=deadline, priority=priority)
        self._texts = texts
        self._slot = slot
        self._ended = ended
        self._found: dict[int, Embedding] = {}

    def start(self) -> None:
        now = time.monotonic()
        self._slot.submit(
            [
                Ticket(text, self, now, partial(self._answered, number))
                for number, text in enumerate(self._texts)
            ]
        )

    def _answered(self, number: int, answer: Any, completed: Completed | None) -> None:
        if isinstance(answer, Failure):
            self.fail(answer.error)
        elif not isinstance(answer, Embedding):
            self.fail(wrong_type(described(self._slot.loadable), answer, Embedding))
        else:
            self._found[number] = answer
            self.missing -= 1
            self._ended()
            if not self.missing and not self.future.done():
                self.future.set_result([self._found[n] for n in range(len(self._texts))])


def of_unit_length(embedding: Embedding) -> Embedding:
    """The embedding with its vector scaled to length 1; raises OperationFailed for zeros."""
    if embedding.normalized:
        return embedding
    import numpy as np  # late: the command line starts without it

    vector = np.asarray(embedding.vector, np.float32)
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not length or not math.isfinite(length):
        raise OperationFailed("the text's vector has no length that can be scaled to 1")
    scaled = (vector / length).astype(np.float32)
    return embedding.model_copy(update={"vector": tuple(scaled.tolist()), "normalized": True})
