"""The prominent person among what the detector finds."""

from collections.abc import Hashable, Sequence

from opsin import Item, Params, Region, Runner
from opsin.plugins.bbox.runner.detector import Detections, Detector, PreparedPicture
from opsin.plugins.bbox.runner.regions import prominent_person


class PersonRunner(Runner[Params, Region | None]):
    """The detector on whole pictures; persons count from above the threshold."""

    max_batch = 8

    def __init__(self, detector: Detector, score_threshold: float) -> None:
        self.detector = detector
        self.score_threshold = score_threshold

    def prepare(self, item: Item[Params]) -> PreparedPicture:
        return self.detector.prepare(item.picture)

    def batch_key(self, prepared: PreparedPicture) -> Hashable:
        return prepared.input_size

    def run(self, batch: Sequence[PreparedPicture]) -> Sequence[Region | None]:
        found = self.detector.detect(batch)
        return [self._prominent(*pair) for pair in zip(batch, found, strict=True)]

    def memory_bytes(self) -> int:
        return self.detector.memory_bytes()

    def close(self) -> None:
        del self.detector

    def _prominent(self, prepared: PreparedPicture, found: Detections) -> Region | None:
        height, width = prepared.picture.shape[:2]
        region = prominent_person(found.boxes, found.labels, found.scores, width, height)
        return region if region and region.score > self.score_threshold else None
