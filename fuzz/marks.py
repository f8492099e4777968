"""What annotations draw: run lengths, polygons, boxes and points, as callers send them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fuzz.target import Target, check
from opsin.core.exports.masks import mask_of
from opsin.core.exports.run_lengths import box_and_area, read_counts
from opsin.core.exports.shapes import read_shape
from opsin.core.imports.coco_annotation import Category, read_annotation
from opsin.core.imports.found import Refused

WIDTH, HEIGHT = 64, 48


def compressed_counts(data: bytes) -> None:
    """COCO's text of run lengths."""
    text = data.decode("latin-1")
    with suppress(ValueError):
        counts = read_counts(text)
        check(all(type(count) is int and count >= 0 for count in counts), "run lengths")
        if counts and sum(counts) < 1 << 40:
            box, area = box_and_area(counts, HEIGHT)
            check(area == sum(counts[1::2]) and min(box) >= 0, "the area is the pixels inside")


def drawn(data: bytes) -> None:
    """Any JSON object as an annotation's data: read, filled in, and read as COCO's."""
    try:
        given: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(given, dict):
        return
    shape = read_shape(given, WIDTH, HEIGHT)
    mask = mask_of([given], WIDTH, HEIGHT)
    if mask is not None:
        check(shape is not None and mask.shape == (HEIGHT, WIDTH), "a mask of the picture")
    with suppress(Refused):
        fields, _ = read_annotation(given, Category("a"), (WIDTH, HEIGHT), scaled=False)
        check(fields["annotation_type"], "an annotation has a type")


def _drawn_seeds() -> Sequence[bytes]:
    values: list[dict[str, Any]] = [
        {"bbox": [1, 2, 3, 4], "format": "xyxy_normalized", "area": 7},
        {"x_min": 1, "y_min": 2, "x_max": 9, "y_max": 8},
        {"x": 1, "y": 2, "width": 3, "height": 4, "image_width": 128, "image_height": 96},
        {"segmentation": [[1, 1, 9, 1, 9, 9], [20, 20, 30, 20, 30, 30]]},
        {"polygon": [[1, 1], [9, 1], [9, 9]], "normalized": True},
        {"rle": {"size": [48, 64], "counts": [5, 9, 3058]}},
        {"rle": {"size": [48, 64], "counts": "_1h0"}},
        {"segmentation": {"size": [1 << 70, 1 << 70], "counts": [1 << 1023]}},
        {"segmentation": {"size": [2, 2], "counts": [10**400, 1]}},
        {"polygon": [[-1e300, -1e300], [1e300, 5], [5, 1e300]]},
        {"keypoints": [{"name": "eye", "x": 1, "y": 2, "visible": False}, [3, 4]]},
        {"keypoints": [1, 2, 2, 3, 4, 0.5], "num_keypoints": 2},
    ]  # fmt: skip
    return [json.dumps(value).encode() for value in values]


TARGETS = (
    Target("compressed_counts", compressed_counts, lambda: [b"_1h0", b"05", b"P" * 4000 + b"0"]),
    Target("shapes", drawn, _drawn_seeds),
)
