"""Detect bounding box, and the finders of the prominent person and face; the plugin's hooks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from opsin import (
    Acceleration,
    Annotation,
    Box,
    Bundled,
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
from opsin.plugins.bbox.detectors import (
    DEFAULT_DETECTOR,
    DEFAULT_OPTIONS,
    DEFAULT_THRESHOLD,
    DETECTORS,
    DetectorOptions,
)
from opsin.plugins.bbox.objects import DetectObjects

DETECTOR_OPTION = "detector"
THRESHOLD_OPTION = "person_score_threshold"


class BoundingBox(Result):
    """Where the prominent person or face is; no box when there is none, which is an answer too."""

    annotation_types = ("bounding_box",)

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
    """The person found with the highest score, if above the operator's threshold."""

    name = "person_finder"
    target = Target.PROMINENT_PERSON
    requires = ("torch", "torchvision")
    extra = "opsin[models]"
    accelerates = True

    def __init__(self, options: DetectorOptions = DEFAULT_OPTIONS) -> None:
        self.options = options
        self.models = (options.detector.requirement,)
        self.version = options.version
        if options.person_score_threshold != DEFAULT_THRESHOLD:
            self.version += f"+score_threshold={options.person_score_threshold:g}"

    def load(self, context: LoadContext) -> Runner[Params, Region | None]:
        from opsin.plugins.bbox.runner.detector import shared_detector
        from opsin.plugins.bbox.runner.persons import PersonRunner

        detector = shared_detector(context, self.options)
        return PersonRunner(detector, self.options.person_score_threshold)


class FaceFinder(RegionFinder):
    """MTCNN: the face found with the highest probability; of equal ones the largest."""

    name = "face_finder"
    version = "1"
    target = Target.PROMINENT_FACE
    requires = ("torch", "torchvision", "facenet_pytorch")
    extra = "opsin[models]"
    acceleration = Acceleration(channels_last=True)
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
        from opsin.plugins.bbox.runner.faces import FaceRunner

        return FaceRunner(context.models["detector"].paths, context.device)


@hookimpl
def opsin_operations(options: Mapping[str, Any]) -> Iterable[Operation[Any, Any]]:
    return [DetectBoundingBox(), DetectObjects(_checked(options))]


@hookimpl
def opsin_region_finders(options: Mapping[str, Any]) -> Iterable[RegionFinder]:
    return [PersonFinder(_checked(options)), FaceFinder()]


def _checked(options: Mapping[str, Any]) -> DetectorOptions:
    """The settings, so strictly that a typing error cannot turn every shadow into a person."""
    unknown = sorted(set(options) - {DETECTOR_OPTION, THRESHOLD_OPTION})
    if unknown:
        has = f"it has {DETECTOR_OPTION!r} and {THRESHOLD_OPTION!r}"
        raise ConfigurationError(f"bbox has no option {unknown[0]!r}; {has}")
    detector = options.get(DETECTOR_OPTION, DEFAULT_DETECTOR)
    if not isinstance(detector, str) or detector not in DETECTORS:
        raise ConfigurationError(f"{DETECTOR_OPTION} must be one of {', '.join(DETECTORS)}")
    threshold = options.get(THRESHOLD_OPTION, DEFAULT_THRESHOLD)
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not is_number or not math.isfinite(threshold) or not 0 <= threshold <= 1:
        raise ConfigurationError(f"{THRESHOLD_OPTION} must be a number from 0 to 1")
    return DetectorOptions(DETECTORS[detector], float(threshold))
