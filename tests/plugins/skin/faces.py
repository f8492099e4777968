"""Painted faces of which everything is known: where they are, their colour, what was drawn."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from opsin import Box, Operation, Picture, Point, Region
from opsin.core.testing import run_operation
from opsin.plugins.skin.geometry import AREAS, EYE_DISTANCE_MM, FACE, FaceFrame
from opsin.plugins.skin.plugin import MEASURES, MeasureSkin
from opsin.plugins.skin.results import SkinArea, SkinMeasures, SkinMetric

Grid: TypeAlias = npt.NDArray[np.floating[Any]]
SKIN = (205, 160, 135)
LIPS, EYES, BACKGROUND = (170, 90, 90), (60, 40, 30), (90, 110, 140)
MOUTH = 1.15
"""Eye distances from the eyes down to the mouth."""


class PaintedFace:
    """A plain face from the front; everything painted on it is in face coordinates or mm."""

    def __init__(
        self,
        eye_distance: float = 200.0,
        skin: tuple[int, int, int] = SKIN,
        roll: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        side = round(4 * eye_distance)
        self.light = np.empty((side, side, 3))
        """sRGB levels, not yet rounded."""
        self.light[:] = BACKGROUND
        turn = np.deg2rad(roll)
        right = (np.cos(turn), np.sin(turn))
        down = (-np.sin(turn), np.cos(turn))
        across = (eye_distance * right[0], eye_distance * right[1])
        along = (MOUTH * eye_distance * down[0], MOUTH * eye_distance * down[1])
        centre = (side / 2 - 0.35 * along[0], side / 2 - 0.35 * along[1])
        self.frame = FaceFrame(centre, across, along, (0.0, 0.55))
        rows, columns = np.mgrid[:side, :side] + 0.5
        x, y = columns - centre[0], rows - centre[1]
        self.s: Grid = (x * right[0] + y * right[1]) / eye_distance
        self.t: Grid = (x * down[0] + y * down[1]) / (MOUTH * eye_distance)
        self.millimetre = eye_distance / EYE_DISTANCE_MM
        self.fill(self.ellipse(0, 0.38, 1.1, 1.3), skin)
        for side_of_face in (-1, 1):
            self.fill(self.ellipse(0.5 * side_of_face, 0, 0.22, 0.09), EYES)
            self.fill(self.ellipse(0.5 * side_of_face, -0.25, 0.28, 0.05), EYES)
        self.fill(self.ellipse(0, 1.0, 0.4, 0.08), LIPS)
        if noise:
            self.light += np.random.default_rng(7).normal(0, noise, self.light.shape)

    def ellipse(self, s: float, t: float, across: float, along: float) -> npt.NDArray[np.bool_]:
        """A mask in face coordinates."""
        inside: npt.NDArray[np.bool_] = ((self.s - s) / across) ** 2 + (
            (self.t - t) / along
        ) ** 2 <= 1
        return inside

    def distance(self, s: float, t: float) -> Grid:
        """Millimetres from a point in face coordinates."""
        away: Grid = np.hypot(self.s - s, MOUTH * (self.t - t)) * EYE_DISTANCE_MM
        return away

    def area(self, name: str) -> npt.NDArray[np.bool_]:
        """An area, as a mask by crossing number."""
        inside = np.zeros(self.s.shape, bool)
        points = AREAS[name]
        for (s, t), (u, v) in zip(points, (*points[1:], points[0]), strict=True):
            if t != v:
                crossed = (self.t < t) != (self.t < v)
                inside ^= crossed & (self.s < s + (self.t - t) / (v - t) * (u - s))
        return inside

    def fill(self, mask: npt.NDArray[np.bool_], colour: Sequence[float]) -> None:
        self.light[mask] = colour

    def blend(self, weight: Grid, colour: Sequence[float]) -> None:
        """Paint with a soft edge: weight 0 leaves, 1 covers."""
        self.light += weight[..., None] * (np.array(colour, float) - self.light)

    def disc(self, s: float, t: float, diameter: float, colour: Sequence[float]) -> None:
        """A round spot of so many millimetres, its edge a pixel soft."""
        edge = (diameter / 2 - self.distance(s, t)) * self.millimetre
        self.blend(np.clip(edge + 0.5, 0, 1), colour)

    def line(self, start: Point, end: Point, width: float, colour: Sequence[float]) -> float:
        """A stroke of so many millimetres in width; its length in millimetres."""
        scale = np.array([1.0, MOUTH]) * EYE_DISTANCE_MM
        a, b = np.array(start) * scale, np.array(end) * scale
        x, y = self.s * scale[0], self.t * scale[1]
        length = float(np.hypot(*(b - a)))
        along = np.clip(((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / length, 0, length)
        away = np.hypot(
            x - a[0] - along * (b - a)[0] / length, y - a[1] - along * (b - a)[1] / length
        )
        self.blend(np.clip((width / 2 - away) * self.millimetre + 0.5, 0, 1), colour)
        return length

    @property
    def picture(self) -> Picture:
        return np.clip(np.rint(self.light), 0, 255).astype(np.uint8)

    @property
    def region(self) -> Region:
        return region_of(self.frame)


def region_of(frame: FaceFrame, move: Callable[[Point], Point] = lambda point: point) -> Region:
    """What a face finder would say."""
    places = ((-0.5, 0.0), (0.5, 0.0), frame.nose, (-0.38, 1.0), (0.38, 1.0))
    landmarks = tuple(move(frame.to_picture(place)) for place in places)
    corners = [move(point) for point in frame.outline(AREAS[FACE])]
    x, y = [point[0] for point in corners], [point[1] for point in corners]
    box = Box(x_min=round(min(x)), y_min=round(min(y)), x_max=round(max(x)), y_max=round(max(y)))
    return Region(box, 0.99, landmarks)


def scaled(picture: Picture, region: Region, factor: float) -> tuple[Picture, Region]:
    """The same face in a larger or smaller picture."""
    height, width = picture.shape[:2]
    size = (round(width * factor), round(height * factor))
    image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    landmarks = tuple((x * factor, y * factor) for x, y in region.landmarks)
    sides = {name: round(side * factor) for name, side in region.box.model_dump().items()}
    return np.array(image), Region(Box(**sides), region.score, landmarks)


def brighter(picture: Picture, factor: float) -> Picture:
    """More or less light: linear light times a factor."""
    encoded = picture / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear * factor, 0, 1)
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    lit: Picture = np.rint(back * 255).astype(np.uint8)
    return lit


OPERATIONS: dict[str, type[MeasureSkin]] = {one.measure: one for one in MEASURES}


def operation(measure: str) -> Operation[Any, SkinMeasures]:
    return OPERATIONS[measure]()


def measured(measure: str, face: PaintedFace) -> SkinMeasures:
    return run_operation(operation(measure), face.picture, region=face.region)


def area_of(result: SkinMeasures, name: str = FACE) -> SkinArea:
    (found,) = (area for area in result.areas if area.area == name)
    return found


def metric_of(result: SkinMeasures, name: str, area: str = FACE) -> SkinMetric:
    found = area_of(result, area)
    (metric,) = (one for one in (found.main, *found.details) if one.name == name)
    return metric


def enclosed(coordinates: Sequence[int]) -> float:
    """Square pixels inside an outline."""
    x, y = np.array(coordinates[::2], float), np.array(coordinates[1::2], float)
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2
