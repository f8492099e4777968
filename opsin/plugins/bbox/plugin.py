"""Detect bounding box: the operation, and the finders of the prominent person and face."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from opsin import (
    Annotation,
    Box,
    Bundled,
    Download,
    Item,
    LoadContext,
    MissingRegion,
    ModelRequirement,
    Operation,
    Params,
    Region,
    RegionFinder,
    Result,
    Runner,
    Target,
    hookimpl,
)
from opsin.core.errors import ConfigurationError

THRESHOLD_OPTION = "person_score_threshold"
DEFAULT_THRESHOLD = 0.05


class BoundingBox(Result):
    """Where the prominent person or face is; no box when there is none, which is an answer too."""

    label: str = Field(description="what was looked for: person or face")
    box: Box | None = Field(default=None, description="null when the image shows none")
    score: float | None = Field(default=None, description="the finder's certainty, 0 to 1")

    def annotations(self) -> Sequence[Annotation]:
        if self.box is None:
            return ()
        corner_and_size = [self.box.x_min, self.box.y_min, self.box.width, self.box.height]
        return (
            Annotation(
                annotation_type="bounding_box",
                data={"bbox": [*corner_and_size], "format": "xywh"},
                class_name=self.label,
                confidence=self.score,
            ),
        )


class BoundingBoxRunner(Runner[Params, BoundingBox]):
    """Says what the region finder found; the finder has done the work."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[Params]) -> BoundingBox:
        label = item.target.value.removeprefix("prominent_")
        if item.region is None:
            return BoundingBox(label=label)
        return BoundingBox(label=label, box=item.region.box, score=item.region.score)

    def run(self, batch: Sequence[BoundingBox]) -> Sequence[BoundingBox]:
        return batch


class DetectBoundingBox(Operation[Params, BoundingBox]):
    """The box of the prominent person or face, as a result of its own."""

    name = "detect_bounding_box"
    version = "1"
    description = "Finds the bounding box of the prominent person or face."
    result = BoundingBox
    targets = (Target.PROMINENT_PERSON, Target.PROMINENT_FACE)
    default_target = Target.PROMINENT_PERSON
    missing_region: ClassVar[Mapping[Target, MissingRegion]] = {
        Target.PROMINENT_PERSON: MissingRegion.RUN_WITHOUT,
        Target.PROMINENT_FACE: MissingRegion.RUN_WITHOUT,
    }
    crop = False

    def load(self, context: LoadContext) -> BoundingBoxRunner:
        return BoundingBoxRunner()


class PersonFinder(RegionFinder):
    """Faster R-CNN: the person found with the highest score, if above `score_threshold`."""

    name = "person_finder"
    version = "1"
    target = Target.PROMINENT_PERSON
    requires = ("torch", "torchvision")
    extra = "opsin[models]"
    models = (
        ModelRequirement(
            role="detector",
            name="fasterrcnn_resnet50_fpn_coco",
            origin=Download(
                url="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
                file="fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
                sha256_prefix="258fb6c6",
            ),
            licence="BSD-3-Clause",
            size_bytes=167_502_836,
        ),
    )

    def __init__(self, score_threshold: float = DEFAULT_THRESHOLD) -> None:
        self.score_threshold = score_threshold
        if score_threshold != DEFAULT_THRESHOLD:
            self.version = f"1+score_threshold={score_threshold:g}"

    def load(self, context: LoadContext) -> Runner[Params, Region | None]:
        from opsin.plugins.bbox.runner import PersonRunner

        (path,) = context.models["detector"].paths
        return PersonRunner(path, context.device, self.score_threshold)


class FaceFinder(RegionFinder):
    """MTCNN: the face found with the highest probability; of equal ones the largest."""

    name = "face_finder"
    version = "1"
    target = Target.PROMINENT_FACE
    requires = ("torch", "torchvision", "facenet_pytorch")
    extra = "opsin[models]"
    models = (
        ModelRequirement(
            role="detector",
            name="mtcnn",
            origin=Bundled(
                package="facenet_pytorch", files=("data/pnet.pt", "data/rnet.pt", "data/onet.pt")
            ),
            licence="MIT",
            size_bytes=1_990_986,
        ),
    )

    def load(self, context: LoadContext) -> Runner[Params, Region | None]:
        from opsin.plugins.bbox.runner import FaceRunner

        return FaceRunner(context.models["detector"].paths, context.device)


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [DetectBoundingBox()]


@hookimpl
def opsin_region_finders(options: Mapping[str, Any]) -> Iterable[RegionFinder]:
    return [PersonFinder(_score_threshold(options)), FaceFinder()]


def _score_threshold(options: Mapping[str, Any]) -> float:
    """The setting, so strict that a typing error cannot turn every shadow into a person."""
    unknown = sorted(set(options) - {THRESHOLD_OPTION})
    if unknown:
        raise ConfigurationError(f"bbox has no option {unknown[0]!r}; it has {THRESHOLD_OPTION!r}")
    value = options.get(THRESHOLD_OPTION, DEFAULT_THRESHOLD)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= 1:
        raise ConfigurationError(f"{THRESHOLD_OPTION} must be a number from 0 to 1")
    return float(value)
