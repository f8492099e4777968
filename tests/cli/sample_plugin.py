"""A third-party plugin for the tests of the command line: quick, and no torch anywhere."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsin import (
    Annotation,
    Download,
    Item,
    LoadContext,
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


class BrightnessParams(Params):
    scale: float = 1.0
    exact: bool = False
    label: str = "brightness"
    weights: tuple[float, ...] = (1.0, 1.0, 1.0)
    seconds: float = 0.0


class Brightness(Result):
    mean: float
    label: str

    def annotations(self) -> Sequence[Annotation]:
        return (Annotation(annotation_type="metric", data={"mean": self.mean}),)


class BrightnessRunner(Runner[BrightnessParams, Brightness]):
    uses_device = False

    def run(self, batch: Sequence[Item[BrightnessParams]]) -> Sequence[Brightness]:
        return [self._one(item) for item in batch]

    def _one(self, item: Item[BrightnessParams]) -> Brightness:
        time.sleep(item.params.seconds)
        if item.params.label == "broken":
            raise ValueError("this cannot be measured")
        mean = float((item.picture.mean(axis=(0, 1)) * item.params.weights).mean())
        return Brightness(mean=mean * item.params.scale, label=item.params.label)


class MeasureBrightness(Operation[BrightnessParams, Brightness]):
    """The mean of all samples, 0 to 255."""

    name = "measure_brightness"
    version = "2"
    description = "Measures the mean brightness."
    params = BrightnessParams
    result = Brightness

    def load(self, context: LoadContext) -> BrightnessRunner:
        return BrightnessRunner()


class MeasureWithWeights(MeasureBrightness):
    name = "measure_with_weights"
    targets = (Target.WHOLE_IMAGE,)


class NoFace(Runner[Params, Region | None]):
    uses_device = False

    def run(self, batch: Sequence[Any]) -> Sequence[Region | None]:
        return [None] * len(batch)


class NoFaceFinder(RegionFinder):
    """Finds no face anywhere."""

    name = "no_face_finder"
    version = "1"
    target = Target.PROMINENT_FACE

    def load(self, context: LoadContext) -> NoFace:
        return NoFace()


@hookimpl
def opsin_operations(options: Mapping[str, Any]) -> Iterable[Operation[Any, Any]]:
    """With the option `weights` (url, sha256) also an operation that must download something."""
    found: list[Operation[Any, Any]] = [MeasureBrightness()]
    if weights := options.get("weights"):
        origin = Download(weights["url"], "tiny.bin", weights["sha256"])
        requirement = ModelRequirement("scale", "tiny", origin, "CC0-1.0", 300_000)
        MeasureWithWeights.models = (requirement,)
        found.append(MeasureWithWeights())
    return found


@hookimpl
def opsin_region_finders(options: Mapping[str, Any]) -> Iterable[RegionFinder]:
    return [NoFaceFinder()] if options.get("finder") else []
