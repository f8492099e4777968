"""Detect objects: everything a detector of COCO's classes finds in the picture or a part of it."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from opsin import Annotation, Box, LoadContext, Operation, Params, Result, Runner
from opsin.plugins.bbox.coco import CLASSES
from opsin.plugins.bbox.detectors import DEFAULT_OPTIONS, DetectorOptions


def _known(name: str) -> str:
    if name not in CLASSES.values():
        raise ValueError("is no class of COCO, such as 'person', 'dog' or 'traffic light'")
    return name


class DetectObjectsParams(Params):
    score_threshold: float = Field(
        default=0.5, ge=0, le=1, description="objects with a lower score are left out"
    )
    max_objects: int = Field(
        default=100, ge=1, le=300, description="no more than these, the ones with the best scores"
    )
    classes: list[Annotated[str, AfterValidator(_known)]] | None = Field(
        default=None, min_length=1, description="names of COCO classes to keep; all when absent"
    )


class DetectedObject(BaseModel):
    """One object; its box is clipped to the picture."""

    model_config = ConfigDict(frozen=True)

    label: str = Field(description="the name of its COCO class")
    class_id: int = Field(description="the number of its COCO class, 1 to 90")
    score: float = Field(description="the detector's certainty, 0 to 1")
    box: Box


class DetectedObjects(Result):
    """The objects found, the most certain first; none is an answer, too."""

    annotation_types = ("bounding_box",)

    objects: tuple[DetectedObject, ...]

    def annotations(self) -> Sequence[Annotation]:
        return [
            Annotation(
                annotation_type="bounding_box",
                data={
                    "bbox": [found.box.x_min, found.box.y_min, found.box.width, found.box.height],
                    "format": "xywh",
                },
                class_name=found.label,
                confidence=found.score,
                ordering=place,
            )
            for place, found in enumerate(self.objects)
        ]


class DetectObjects(Operation[DetectObjectsParams, DetectedObjects]):
    """All objects that the configured detector finds."""

    name = "detect_objects"
    description = "Finds objects of the 80 COCO classes, with a box and a score for each."
    params = DetectObjectsParams
    result = DetectedObjects
    requires = ("torch", "torchvision")
    extra = "opsin[models]"
    accelerates = True

    def __init__(self, options: DetectorOptions = DEFAULT_OPTIONS) -> None:
        self.options = options
        self.version = options.version
        self.models = (options.detector.requirement,)

    def load(self, context: LoadContext) -> Runner[DetectObjectsParams, DetectedObjects]:
        from opsin.plugins.bbox.runner.detector import shared_detector
        from opsin.plugins.bbox.runner.objects import ObjectsRunner

        return ObjectsRunner(shared_detector(context, self.options), self.options.detector.floor)
