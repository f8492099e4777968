"""Shapes as masks: GeoJSON-like collections in pixels of the picture, and of the aligned face."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opsin.compat.haut.catalogue import MaskNames

_OUTLINES, _POINTS = ("polygon_mask", "MultiPolygon"), ("point_mask", "MultiPoint")

Pairs = list[list[int]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What coordinates are counted in: a picture's pixels, moved by (a, b, c, d, e, f) at most.

    A point (x, y) of the picture is at (a x + b y + c, d x + e y + f).
    """

    width: int
    height: int
    matrix: tuple[float, float, float, float, float, float] = (1, 0, 0, 0, 1, 0)

    @classmethod
    def aligned(cls, face: Mapping[str, Any] | None) -> "Frame | None":
        """That of the upright square face which the detector has cut out; None without one."""
        given = None if face is None else face.get("aligned")
        if given is None:
            return None
        a, b, c, d, e, f = given["matrix"]
        return cls(given["size"], given["size"], (a, b, c, d, e, f))

    def placed(self, coordinates: Sequence[float]) -> Pairs:
        """x and y in turn, as whole pixels of this frame."""
        a, b, c, d, e, f = self.matrix
        pairs = zip(coordinates[::2], coordinates[1::2], strict=True)
        return [[round(a * x + b * y + c), round(d * x + e * y + f)] for x, y in pairs]

    def holds(self, point: Sequence[int]) -> bool:
        return 0 <= point[0] <= self.width and 0 <= point[1] <= self.height


@dataclass(frozen=True, slots=True)
class Shape:
    """Outlines or points that were found, `coordinates` as x and y in turn."""

    name: str
    is_outline: bool
    intensity: float | None
    coordinates: Sequence[float]


def masks(
    shapes: Sequence[Shape], names: Sequence[MaskNames], frame: Frame | None
) -> list[dict[str, Any]] | None:
    """One mask for each name that shapes have; None where there is nothing to count them in."""
    if frame is None:
        return None
    found = []
    for one in names:
        mine = [shape for shape in shapes if shape.name == one.shape]
        for is_outline in (True, False):
            if same := [shape for shape in mine if shape.is_outline is is_outline]:
                found.append(_mask(one, same, frame, is_outline=is_outline))
    return found


def _mask(
    names: MaskNames, shapes: Sequence[Shape], frame: Frame, *, is_outline: bool
) -> dict[str, Any]:
    mask_type, geometry = _OUTLINES if is_outline else _POINTS
    return {
        "name": names.name,
        "tech_name": names.tech_name,
        "fill": names.fill,
        "mask_type": mask_type,
        "view_box": f"0 0 {frame.width} {frame.height}",
        "type": "FeatureCollection",
        "features": [
            {
                "type": "feature",
                "geometry": {
                    "type": geometry,
                    "coordinates": _polygon(shape, frame)
                    if is_outline
                    else [point for point in frame.placed(shape.coordinates) if frame.holds(point)],
                },
                "properties": {"intensity": shape.intensity},
            }
            for shape in shapes
        ],
    }


def _polygon(shape: Shape, frame: Frame) -> list[list[Pairs]]:
    """One polygon of one ring, which ends where it begins."""
    ring = frame.placed(shape.coordinates)
    return [[[*ring, ring[0]]]] if ring else []
