"""The runner of `screen_cetacean`: the gate alone."""

from collections.abc import Sequence

from opsin import Item, LoadContext, Params, Picture, Runner
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.results import CetaceanScreening
from opsin.plugins.cetacean.runner.gate import load_gate


class ScreeningRunner(Runner[Params, CetaceanScreening]):
    """One score a picture."""

    max_batch = 32

    def __init__(self, pipeline: Pipeline, context: LoadContext) -> None:
        gate = load_gate(pipeline, context)
        assert gate is not None  # without one the operation is not there
        self._gate = gate
        self._threshold = pipeline.threshold
        self._manifest = pipeline.manifest.name

    def prepare(self, item: Item[Params]) -> Picture:
        return self._gate.prepare(item.picture)

    def run(self, batch: Sequence[Picture]) -> Sequence[CetaceanScreening]:
        return [
            CetaceanScreening(
                is_cetacean=score >= self._threshold,
                cetacean_score=score,
                threshold=self._threshold,
                manifest=self._manifest,
            )
            for score in self._gate.scores(batch)
        ]

    def memory_bytes(self) -> int:
        return self._gate.memory_bytes()

    def close(self) -> None:
        del self._gate
