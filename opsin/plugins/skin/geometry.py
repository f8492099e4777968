"""Where the areas of a face lie, told by its five landmarks.

Points are in face coordinates (s, t): s along the line from the eye on the left of the picture to
the one on the right, in eye distances, 0 midway; t from there toward the middle of the mouth, in
distances to it.  So the areas follow turns of the head in the picture's plane, its size, and the
proportions of the face; the person is taken to look into the camera.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from opsin import Point

EYE_DISTANCE_MM = 63.36
"""Mean distance between the pupils of adults; what is given in millimetres is scaled by it.

N. A. Dodgson: Variation and extrema of human interpupillary distance.  SPIE 5291, 2004, 36-46.
"""
LANDMARKS = ("left_of_picture_eye", "right_of_picture_eye", "nose", "mouth_left", "mouth_right")
STEPS = 48
FACE = "face"


def _ellipse(s: float, t: float, across: float, along: float) -> tuple[Point, ...]:
    turns = [2 * math.pi * step / STEPS for step in range(STEPS)]
    return tuple((s + across * math.cos(turn), t + along * math.sin(turn)) for turn in turns)


def _mirrored(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple((-s, t) for s, t in points)


_CHEEK = (
    (0.36, 0.42),
    (0.62, 0.40),
    (0.86, 0.38),
    (0.88, 0.58),
    (0.74, 0.86),
    (0.52, 0.95),
    (0.38, 0.66),
)
_UNDER_EYE = ((0.27, 0.15), (0.50, 0.17), (0.73, 0.15), (0.70, 0.29), (0.50, 0.34), (0.30, 0.29))
_EYE_CORNER = ((0.80, -0.10), (0.90, -0.08), (0.95, 0.16), (0.80, 0.18))

AREAS: Mapping[str, tuple[Point, ...]] = MappingProxyType(
    {
        FACE: _ellipse(0, 0.38, 1.0, 1.18),
        "forehead": ((-0.44, -0.66), (0.44, -0.66), (0.66, -0.40), (-0.66, -0.40)),
        "between_brows": ((-0.17, -0.38), (0.17, -0.38), (0.14, -0.06), (-0.14, -0.06)),
        "nose": (
            (-0.10, 0.04),
            (0.10, 0.04),
            (0.17, 0.38),
            (0.27, 0.54),
            (0.20, 0.60),
            (-0.20, 0.60),
            (-0.27, 0.54),
            (-0.17, 0.38),
        ),
        # The person's left is on the right of a picture that is not mirrored.
        "left_cheek": _CHEEK,
        "right_cheek": _mirrored(_CHEEK),
        "left_under_eye": _UNDER_EYE,
        "right_under_eye": _mirrored(_UNDER_EYE),
        "left_eye_corner": _EYE_CORNER,
        "right_eye_corner": _mirrored(_EYE_CORNER),
        "chin": ((-0.28, 1.26), (0.28, 1.26), (0.22, 1.46), (-0.22, 1.46)),
    }
)
"""Every area; `face` is an ellipse as wide as the cheekbones, from the hairline to the chin."""

_EYE = (
    (0.20, -0.36),
    (0.84, -0.36),
    (0.80, -0.12),
    (0.80, 0.06),
    (0.66, 0.13),
    (0.34, 0.13),
    (0.20, 0.06),
)
NOT_SKIN: tuple[tuple[Point, ...], ...] = (
    _EYE,
    _mirrored(_EYE),
    ((-0.22, 0.60), (0.22, 0.60), (0.18, 0.72), (-0.18, 0.72)),  # nostrils
    ((-0.50, 0.92), (0.0, 0.82), (0.50, 0.92), (0.46, 1.10), (0.0, 1.22), (-0.46, 1.10)),  # lips
)
"""Eyes with their brows, nostrils and lips: never skin, whatever their colour."""
CORE = ("forehead", "nose", "left_cheek", "right_cheek")
"""The areas that tell what this face's skin looks like."""


def area_of(outline: Sequence[Point]) -> float:
    """The area of a polygon, in the square of its points' unit."""
    pairs = zip(outline, (*outline[1:], *outline[:1]), strict=True)
    return abs(sum(x * v - u * y for (x, y), (u, v) in pairs)) / 2


def inside_picture(outline: Sequence[Point], width: int, height: int) -> list[Point]:
    """The part of a polygon inside a picture, clipped at one side after the other.

    I. E. Sutherland, G. W. Hodgman: Reentrant polygon clipping.  CACM 17(1), 1974.
    """
    found = list(outline)
    for axis, limit, sign in ((0, 0, 1), (0, width, -1), (1, 0, 1), (1, height, -1)):
        before, found = found, []
        for one, other in zip(before, (*before[1:], *before[:1]), strict=True):
            depth, next_depth = sign * (one[axis] - limit), sign * (other[axis] - limit)
            if depth >= 0:
                found.append(one)
            if (depth >= 0) != (next_depth >= 0):
                part = depth / (depth - next_depth)
                x, y = (a + part * (b - a) for a, b in zip(one, other, strict=True))
                found.append((x, y))
    return found


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """The face's coordinates in a picture: `eyes` is midway between the eyes."""

    eyes: Point
    across: Point
    """From one eye to the other, in pixels."""
    along: Point
    """From `eyes` to the middle of the mouth, in pixels."""
    nose: Point
    """In face coordinates."""

    @classmethod
    def of(cls, landmarks: Sequence[Point]) -> "FaceFrame | None":
        """None where the landmarks are not those of a face that is seen from the front."""
        if len(landmarks) != len(LANDMARKS):
            return None
        (ax, ay), (bx, by), nose, (cx, cy), (dx, dy) = landmarks
        eyes = ((ax + bx) / 2, (ay + by) / 2)
        across = (bx - ax, by - ay)
        along = ((cx + dx) / 2 - eyes[0], (cy + dy) / 2 - eyes[1])
        frame = cls(eyes, across, along, (0.0, 0.0))
        area = across[0] * along[1] - across[1] * along[0]
        # Collapsed or turned over: the two directions of a face are nearly at right angles.
        if not area > 0.5 * math.hypot(*across) * math.hypot(*along):
            return None
        return cls(eyes, across, along, frame.to_face(nose))

    @property
    def eye_distance(self) -> float:
        """Pixels."""
        return math.hypot(*self.across)

    @property
    def roll(self) -> float:
        """Degrees by which the head is turned in the picture's plane, clockwise positive."""
        return math.degrees(math.atan2(self.across[1], self.across[0]))

    def to_picture(self, point: Point) -> Point:
        """Pixels of a point in face coordinates."""
        (x, y), (ax, ay), (bx, by), (s, t) = self.eyes, self.across, self.along, point
        return x + s * ax + t * bx, y + s * ay + t * by

    def to_face(self, point: Point) -> Point:
        """Face coordinates of a point in pixels."""
        (ax, ay), (bx, by) = self.across, self.along
        x, y = point[0] - self.eyes[0], point[1] - self.eyes[1]
        area = ax * by - ay * bx
        return (x * by - y * bx) / area, (ax * y - ay * x) / area

    def outline(self, points: Sequence[Point]) -> list[Point]:
        """An area's polygon in pixels."""
        return [self.to_picture(point) for point in points]
