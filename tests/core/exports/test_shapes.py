"""Geometry in every form that callers send, as COCO has it: pixels, xywh, polygons, RLE."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsin.core.exports.run_lengths import box_and_area, read_counts
from opsin.core.exports.shapes import read_shape

WIDTH, HEIGHT = 200, 100
BOX = (20.0, 10.0, 60.0, 40.0)


@pytest.mark.parametrize(
    "data",
    [
        {"bbox": [20, 10, 60, 40], "format": "xywh"},
        {"bbox": [20, 10, 60, 40]},
        {"bbox": [20, 10, 80, 50], "format": "xyxy"},
        {"bbox": [50, 30, 60, 40], "format": "cxcywh"},
        {"bbox": [0.1, 0.1, 0.3, 0.4], "format": "xywhn"},
        {"bbox": [0.1, 0.1, 0.4, 0.5], "format": "XYXY_normalized"},
        {"bbox": [0.25, 0.3, 0.3, 0.4], "format": "cxcywhn"},
        {"bbox": [0.1, 0.1, 0.4, 0.5], "format": "xyxy", "normalized": True},
        {"bbox": [40, 20, 120, 80], "image_width": 400, "image_height": 200},
        {"x_min": 20, "y_min": 10, "x_max": 80, "y_max": 50},
        {"x_min": 0.1, "y_min": 0.1, "x_max": 0.4, "y_max": 0.5, "normalized": True},
        {"left": 20, "top": 10, "right": 80, "bottom": 50},
        {"x": 20, "y": 10, "width": 60, "height": 40},
    ],
)
def test_boxes(data: dict[str, Any]) -> None:
    shape = read_shape(data, WIDTH, HEIGHT)
    assert shape is not None and shape.segmentation is None and shape.keypoints == ()
    assert shape.box == pytest.approx(BOX) and shape.area == pytest.approx(2400)


@pytest.mark.parametrize(
    "data",
    [
        {"points": [[20, 10], [80, 10], [80, 50], [20, 50]], "format": "polygon"},
        {"polygon": [20, 10, 80, 10, 80, 50, 20, 50]},
        {"polygons": [[[20, 10], [80, 10], [80, 50], [20, 50]]]},
        {"segmentation": [[20, 10, 80, 10, 80, 50, 20, 50]]},
        {"points": [[0.1, 0.1], [0.4, 0.1], [0.4, 0.5], [0.1, 0.5]], "normalized": True},
    ],
)
def test_polygons(data: dict[str, Any]) -> None:
    shape = read_shape(data, WIDTH, HEIGHT)
    assert shape is not None
    assert shape.box == pytest.approx(BOX) and shape.area == pytest.approx(2400)
    (polygon,) = shape.segmentation
    assert polygon == pytest.approx([20, 10, 80, 10, 80, 50, 20, 50])


def test_an_outline_in_two_parts() -> None:
    parts = [[0, 0, 10, 0, 0, 10], [20, 20, 30, 20, 30, 30]]
    shape = read_shape({"segmentation": parts}, WIDTH, HEIGHT)
    assert shape is not None and shape.segmentation == parts
    assert (shape.box, shape.area) == ((0, 0, 30, 30), 100)


def test_keypoints() -> None:
    points = [
        {"name": "nose", "x": 125, "y": 60, "confidence": 0.95},
        {"name": "tail", "x": 20, "y": 10, "visible": False},
        {"name": "ear", "x": 0, "y": 0, "visibility": 0},
    ]
    shape = read_shape({"keypoints": points}, WIDTH, HEIGHT)
    assert shape is not None
    assert shape.keypoints == ("nose", "tail", "ear")
    assert shape.points == (125, 60, 2, 20, 10, 1, 0, 0, 0)
    assert shape.box == (20, 10, 105, 50)  # around those that are there
    given_box = read_shape({"keypoints": points, "bbox": [1, 2, 3, 4]}, WIDTH, HEIGHT)
    assert given_box is not None and given_box.box == (1, 2, 3, 4)
    parts = read_shape({"keypoints": [[0.5, 0.5]], "normalized": True}, WIDTH, HEIGHT)
    assert parts is not None and (parts.keypoints, parts.points) == (("0",), (100, 50, 2))
    alone = read_shape({"name": "nose", "x": 5, "y": 6}, WIDTH, HEIGHT)
    assert alone is not None and (alone.keypoints, alone.points) == (("nose",), (5, 6, 2))


def test_keypoints_and_an_outline() -> None:
    points = [{"name": "nose", "x": 1, "y": 2}, {"name": "tail", "x": 3, "y": 4}]
    pairs = [["tail", "nose"], [0, 1], ["nose", "ear"], [0, 2], "text", [0]]
    data = {"keypoints": points, "skeleton": pairs, "polygon": [0, 0, 10, 0, 0, 10]}
    shape = read_shape(data, WIDTH, HEIGHT)
    assert shape is not None and (shape.box, shape.area) == ((0, 0, 10, 10), 50)
    assert shape.segmentation == [[0, 0, 10, 0, 0, 10]]
    assert (shape.keypoints, shape.points) == (("nose", "tail"), (1, 2, 2, 3, 4, 2))
    assert shape.skeleton == ((1, 0), (0, 1))
    # The one point that a pipeline may tell without a list is not one of an outline.
    alone = read_shape({"x": 1, "y": 2, "polygon": [0, 0, 10, 0, 0, 10]}, WIDTH, HEIGHT)
    assert alone is not None and alone.keypoints == ()


def test_the_area_that_a_coco_file_told() -> None:
    told: Any
    for told, expected in ((12.5, 12.5), (0, 0), (-1, 6), (True, 6), ("12", 6), (None, 6)):
        shape = read_shape({"bbox": [1, 1, 2, 3], "coco": {"area": told}}, WIDTH, HEIGHT)
        assert shape is not None and shape.area == expected
    halved = {"bbox": [1, 1, 2, 3], "coco": {"area": 8}, "image_width": 400, "image_height": 200}
    shape = read_shape(halved, WIDTH, HEIGHT)
    assert shape is not None and shape.area == 2


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": "a cat"},
        {"bbox": None},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, 4, 5]},
        {"bbox": ["1", "2", "3", "4"]},
        {"bbox": [1, 2, True, 4]},
        {"bbox": [1, 2, -3, 4]},
        {"bbox": [1, 2, 10**400, 4]},
        {"bbox": [80, 50, 20, 10], "format": "xyxy"},
        {"bbox": [1, 2, 3, 4], "image_width": 0, "image_height": 0},
        {"points": [[1, 2], [3, 4]]},
        {"points": [[1, 2, 3], [3, 4, 5], [6, 7, 8]], "polygon": []},
        {"points": "text"},
        {"polygon": [1, 2, 3, 4, 5]},
        {"rle": {"counts": [1.5]}},
        {"rle": {"counts": [1, -2]}},
        {"rle": {"counts": "\x00"}},
        {"rle": {"counts": [1, 2], "size": [0, 0]}},
        {"keypoints": [{"name": "nose"}]},
        {"keypoints": []},
        {"x_min": 0},
    ],
)
def test_what_draws_nothing(data: dict[str, Any]) -> None:
    assert read_shape(data, WIDTH, HEIGHT) is None


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5)
    | st.dictionaries(st.sampled_from(["counts", "size", "x", "y", "name"]), inner),
    max_leaves=12,
))  # fmt: skip
def test_no_data_ends_an_export(value: Any) -> None:
    for name in (
        "coco",
        "skeleton",
        "bbox",
        "points",
        "polygons",
        "segmentation",
        "rle",
        "keypoints",
        "format",
        "x",
    ):
        read_shape({name: value, "y": 1}, WIDTH, HEIGHT)
        read_shape({"keypoints": [[1, 2]], name: value}, WIDTH, HEIGHT)


def runs(mask: "np.ndarray[Any, Any]") -> list[int]:
    """COCO's run lengths of a mask, by looking at every pixel."""
    counts, inside = [0], False
    for pixel in mask.flatten(order="F"):
        if bool(pixel) != inside:
            counts.append(0)
            inside = bool(pixel)
        counts[-1] += 1
    return counts


def compressed(counts: list[int]) -> str:
    """COCO's text for run lengths, as its `rleToString` writes it."""
    text = ""
    for number, count in enumerate(counts):
        value = count - counts[number - 2] if number > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


@given(
    st.integers(1, 12).flatmap(
        lambda rows: st.lists(
            st.lists(st.booleans(), min_size=rows, max_size=rows), min_size=1, max_size=12
        )
    )
)
def test_masks(columns: list[list[bool]]) -> None:
    mask = np.array(columns).T
    counts = runs(mask)
    assert read_counts(compressed(counts)) == counts == read_counts(counts)
    box, area = box_and_area(counts, mask.shape[0])
    assert area == mask.sum()
    below, across = np.nonzero(mask)
    if area:
        sides = (int(np.ptp(across)) + 1, int(np.ptp(below)) + 1)
        assert box == (int(across.min()), int(below.min()), *sides)
    else:
        assert box == (0, 0, 0, 0)


def test_long_runs_are_compressed_too() -> None:
    counts = [100_000, 1, 2**20, 5, 99_999, 2**25]
    assert read_counts(compressed(counts)) == counts


@pytest.mark.parametrize("counts", [[6, 2, 2], "6212"])
def test_a_mask_is_passed_on_as_it_is(counts: Any) -> None:
    expected = [6, 2, 2] if isinstance(counts, list) else read_counts(counts)
    shape = read_shape({"rle": {"counts": counts, "size": [5, 2]}, "format": "rle"}, 2, 5)
    assert shape is not None
    assert shape.segmentation == {"size": [5, 2], "counts": counts}
    assert shape.area == sum(expected[1::2])
    without_size = read_shape({"rle": {"counts": counts}}, 2, 5)
    assert without_size is not None and without_size.segmentation["size"] == [5, 2]
