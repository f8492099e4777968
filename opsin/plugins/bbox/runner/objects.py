"""All objects that the detector finds, as the caller wants them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from opsin import Item, Runner
from opsin.plugins.bbox.coco import CLASSES
from opsin.plugins.bbox.objects import DetectedObject, DetectedObjects, DetectObjectsParams
from opsin.plugins.bbox.runner.detector import Detections, Detector, PreparedPicture
from opsin.plugins.bbox.runner.regions import region_of


@dataclass(frozen=True, slots=True)
class PreparedObjects:
    """An item, and its picture ready for the detector."""

    item: Item[DetectObjectsParams]
    picture: PreparedPicture


class ObjectsRunner(Runner[DetectObjectsParams, DetectedObjects]):
    """The detector on pictures or crops; scores up to its own `floor` are left out."""

    max_batch = 8

    def __init__(self, detector: Detector, floor: float) -> None:
        self.detector = detector
        self.floor = floor

    def prepare(self, item: Item[DetectObjectsParams]) -> PreparedObjects:
        return PreparedObjects(item, self.detector.prepare(item.picture))

    def batch_key(self, prepared: PreparedObjects) -> Hashable:
        return prepared.picture.input_size

    def run(self, batch: Sequence[PreparedObjects]) -> Sequence[DetectedObjects]:
        found = self.detector.detect([prepared.picture for prepared in batch])
        return [
            self._wanted(prepared.item, detections)
            for prepared, detections in zip(batch, found, strict=True)
        ]

    def memory_bytes(self) -> int:
        return self.detector.memory_bytes()

    def close(self) -> None:
        del self.detector

    def _wanted(self, item: Item[DetectObjectsParams], detections: Detections) -> DetectedObjects:
        params, region = item.params, item.region
        height, width = item.picture.shape[:2]
        dx, dy = (region.box.x_min, region.box.y_min) if region else (0, 0)
        objects = []
        for box, label, score in zip(
            detections.boxes, detections.labels, detections.scores, strict=True
        ):
            name = CLASSES.get(label)
            place = region_of(box, score, width, height)
            if (
                name is None  # a number that COCO gave to no class
                or place is None
                or score <= self.floor
                or score < params.score_threshold
                or (params.classes is not None and name not in params.classes)
            ):
                continue
            objects.append(
                DetectedObject(
                    label=name, class_id=label, score=place.score, box=place.box.moved(dx, dy)
                )
            )
        objects.sort(key=lambda found: found.score, reverse=True)
        return DetectedObjects(objects=tuple(objects[: params.max_objects]))
