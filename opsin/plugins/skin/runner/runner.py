"""Runners: each measures while preparing, on several threads; batches only hand results on."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from opsin import Item, OperationFailed, Params, Runner
from opsin.plugins.skin.results import FaceAreas, SkinMeasures
from opsin.plugins.skin.runner import pores, ridges
from opsin.plugins.skin.runner.areas import find_areas
from opsin.plugins.skin.runner.colour import (
    measure_redness,
    measure_shine,
    measure_tone,
    measure_uniformness,
)
from opsin.plugins.skin.runner.eyes import measure_eye_area
from opsin.plugins.skin.runner.face import NO_LANDMARKS, SMALLEST_EYE_DISTANCE, Face
from opsin.plugins.skin.runner.measures import Measure
from opsin.plugins.skin.runner.pictures import face_files
from opsin.plugins.skin.runner.pores import measure_pores
from opsin.plugins.skin.runner.quality import measure_quality
from opsin.plugins.skin.runner.ridges import measure_lines, measure_wrinkles
from opsin.plugins.skin.runner.spots import measure_pigmentation

MEASURES: Mapping[str, tuple[Measure, float]] = MappingProxyType(
    {
        "redness": (measure_redness, SMALLEST_EYE_DISTANCE),
        "tone": (measure_tone, SMALLEST_EYE_DISTANCE),
        "uniformness": (measure_uniformness, SMALLEST_EYE_DISTANCE),
        "lines": (measure_lines, ridges.LINES.smallest_eye_distance),
        "wrinkles": (measure_wrinkles, ridges.WRINKLES.smallest_eye_distance),
        "pores": (measure_pores, pores.SMALLEST_EYE_DISTANCE),
        "pigmentation": (measure_pigmentation, 80),
        "shine": (measure_shine, SMALLEST_EYE_DISTANCE),
        "eye_area": (measure_eye_area, SMALLEST_EYE_DISTANCE),
        "image_quality": (measure_quality, 1),
    }
)
"""Each with the pixels between the eyes that it needs at least."""


class SkinRunner(Runner[Params, SkinMeasures]):
    """One measure of the prominent face."""

    max_batch = 64
    uses_device = False

    def __init__(self, measure: str, explanation: str, source: str) -> None:
        self.measure = measure
        self.explanation = explanation
        self.source = source

    def prepare(self, item: Item[Params]) -> SkinMeasures:
        function, smallest = MEASURES[self.measure]
        found = function(Face.of(item, smallest))
        return SkinMeasures(
            measure=self.measure,
            areas=found.areas,
            shapes=found.shapes,
            feedback=found.feedback,
            explanation=self.explanation,
            source=self.source,
        )

    def run(self, batch: Sequence[SkinMeasures]) -> Sequence[SkinMeasures]:
        return batch


class FaceAreasRunner(Runner[Params, FaceAreas]):
    """Landmarks and areas of the prominent face, and pictures of them."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[Params]) -> "Found":
        if item.region is None:
            raise OperationFailed(NO_LANDMARKS)
        face = Face.of(item)
        return face, find_areas(face, item.region.landmarks)

    def run(self, batch: Sequence["Found"]) -> Sequence["Found"]:
        return batch

    def encode(self, output: "Found") -> FaceAreas:
        face, areas = output
        return areas.with_files(face_files(face, areas))


Found: TypeAlias = tuple[Face, FaceAreas]
