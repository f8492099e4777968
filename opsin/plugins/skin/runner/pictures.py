"""Pictures cut out of the face: the face held upright in a square, and each of its areas."""

import io
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from opsin import Point, ProducedArtifact
from opsin.plugins.skin.geometry import AREAS, FACE, FaceFrame
from opsin.plugins.skin.results import (
    ALIGNED_FACE_FILE,
    AlignedFace,
    FaceAreas,
    area_file,
)
from opsin.plugins.skin.runner.face import LEAST_VISIBLE, Face

SIDE = 3.5
"""Eye distances along a side of the square: room for any face's ellipse and some hair."""
EYES_DOWN = 0.37
"""Share of the side above the eyes, which lie level and midway."""
LARGEST_EYE_DISTANCE = 200
"""Pixels; a face that has fewer keeps its own, for no picture is enlarged."""
QUALITY = 90
JPEG = "image/jpeg"


def alignment(frame: FaceFrame) -> AlignedFace:
    """The turn, scale and shift that put the eyes level, at the same place of every square."""
    scale = min(LARGEST_EYE_DISTANCE / frame.eye_distance, 1.0)
    size = round(SIDE * frame.eye_distance * scale)
    turn = math.radians(frame.roll)
    along, aside = scale * math.cos(turn), scale * math.sin(turn)
    x, y = frame.eyes
    right, down = size / 2 - along * x - aside * y, EYES_DOWN * size + aside * x - along * y
    return AlignedFace(
        size=size,
        matrix=(
            *(round(along, 9), round(aside, 9), round(right, 4)),
            *(round(-aside, 9), round(along, 9), round(down, 4)),
        ),
    )


def aligned(face: Face, to: AlignedFace) -> Image.Image:
    """The square, RGB; black where the picture does not reach."""
    along, aside, right, _, _, down = to.matrix
    power = along**2 + aside**2
    # The way back, by which Pillow finds for each pixel of the square where it comes from.
    a, b = along / power, -aside / power
    c, d = -(a * right + b * down), -(a * down - b * right)
    corners = [
        (a * x + b * y + c, a * y - b * x + d)
        for x, y in ((0, 0), (to.size, 0), (0, to.size), (to.size, to.size))
    ]
    height, width = face.picture.shape[:2]
    (left, top), (end, bottom) = np.clip(
        [np.floor(np.min(corners, axis=0)) - 1, np.ceil(np.max(corners, axis=0)) + 1],
        0,
        (width, height),
    ).astype(int)
    part = Image.fromarray(face.picture[top:bottom, left:end])
    # Averaged first where several pixels become one, which sampling alone would skip.
    times = max(int(1 / math.sqrt(power)), 1)
    part = part.reduce(times) if times > 1 else part
    inverse = (a, b, c - left, -b, a, d - top)
    return part.transform(
        (to.size, to.size),
        Image.Transform.AFFINE,
        tuple(number / times for number in inverse),
        Image.Resampling.BILINEAR,
    )


def face_files(face: Face, found: FaceAreas) -> Iterator[ProducedArtifact]:
    """JPEG files of the aligned face and of the boxes around its visible areas in it."""
    square = aligned(face, found.aligned)
    yield ProducedArtifact(ALIGNED_FACE_FILE, JPEG, _jpeg(square))
    for area in found.areas:
        if area.name == FACE or area.visible_share < LEAST_VISIBLE:
            continue
        points = [_moved(point, found.aligned) for point in face.frame.outline(AREAS[area.name])]
        low, high = np.floor(np.min(points, axis=0)), np.ceil(np.max(points, axis=0))
        left, top, right, bottom = np.clip([*low, *high], 0, square.width).astype(int).tolist()
        if left < right and top < bottom:  # else beyond the square, in a face of odd proportions
            picture = square.crop((left, top, right, bottom))
            yield ProducedArtifact(area_file(area.name), JPEG, _jpeg(picture))


def _moved(point: Point, to: AlignedFace) -> Point:
    (x, y), (a, b, c, d, e, f) = point, to.matrix
    return a * x + b * y + c, d * x + e * y + f


def _jpeg(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()
