"""Lines of YOLO's labels, one at a time."""

from typing import Any

import pytest

from opsin.core.exports.shapes import read_shape
from opsin.core.imports.found import Refused
from opsin.core.imports.yolo_labels import Labels, leaves, read_line

PLAIN = Labels({0: "cat", 1: "a dog", 12: "no"})
POSE = Labels({0: "person"}, 2, 3, ("nose", "tail"))
FLAT_POSE = Labels({0: "person"}, 2, 2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0.5 0.5 0.2 0.1", ("bounding_box", "cat", None)),
        ("12 0.5 0.5 0.2 0.1 0.875", ("bounding_box", "no", 0.875)),
        ("0.0 0 0 1 1", ("bounding_box", "cat", None)),
        ("1 0.1 0.1 0.9 0.1 0.9 0.9", ("segmentation", "a dog", None)),
        ("1 0.1 0.1 0.9 0.1 0.9 0.9 0.25", ("segmentation", "a dog", 0.25)),
        ("1 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", ("segmentation", "a dog", None)),
        ("1", ("classification", "a dog", None)),
        ("0.93 cat", ("classification", "cat", 0.93)),
        ("0.07 a dog", ("classification", "a dog", 0.07)),
        ("0\t0.5  0.5 0.2 0.1 ", ("bounding_box", "cat", None)),
    ],
)
def test_kinds(line: str, expected: tuple[str, str, float | None]) -> None:
    found = read_line(line, PLAIN)
    assert (found["annotation_type"], found["class_name"], found.get("confidence")) == expected


def test_geometry_is_read_as_the_exports_read_it() -> None:
    box = read_shape(read_line("0 0.5 0.5 0.2 0.1", PLAIN)["data"], 200, 100)
    assert box is not None and box.box == pytest.approx((80, 45, 40, 10))
    outline = read_shape(read_line("0 0 0 0.5 0 0.5 0.5", PLAIN)["data"], 200, 100)
    assert outline is not None and outline.segmentation == [[0, 0, 100, 0, 100, 50]]
    pose = read_shape(read_line("0 .5 .5 1 1 .1 .2 2 .3 .4 1", POSE)["data"], 200, 100)
    assert pose is not None and pose.keypoints == ("nose", "tail")
    assert pose.points == pytest.approx((20, 20, 2, 60, 40, 1))
    assert pose.box == (0, 0, 200, 100)


def test_how_sure_a_detector_is_of_a_point() -> None:
    found = read_line("0 .5 .5 1 1 .1 .2 0.99 .3 .4 0 0.75", POSE)
    assert found["confidence"] == 0.75
    assert found["data"]["keypoints"] == [
        {"name": "nose", "x": 0.1, "y": 0.2, "confidence": 0.99},
        {"name": "tail", "x": 0.3, "y": 0.4, "confidence": 0},
    ]
    flat = read_line("0 .5 .5 1 1 .1 .2 .3 .4", FLAT_POSE)
    assert flat["data"]["keypoints"] == [
        {"name": "0", "x": 0.1, "y": 0.2},
        {"name": "1", "x": 0.3, "y": 0.4},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.2 1.1", "1.1 is not from 0 to 1"),
        ("0 -0.1 0.5 0.2 0.1", "-0.1 is not from 0 to 1"),
        ("0 320 240 64 48", "320 is not from 0 to 1"),
        ("0 0.5 0.5 0.2 0.1 7", "7 is not from 0 to 1"),
        ("0 nan 0.5 0.2 0.1", "'nan' is not a number"),
        ("0 inf 0.5 0.2 0.1", "'inf' is not a number"),
        ("0 0,5 0.5 0.2 0.1", "'0,5' is not a number"),
        ("0 1_0 0.5 0.2 0.1", "'1_0' is not a number"),
        ("5 0.5 0.5 0.2 0.1", "class 5 is not among the 3 names"),
        ("-1 0.5 0.5 0.2 0.1", "class -1 is not among"),
        ("0.5 0.5 0.5 0.2 0.1", "'0.5' is no whole number"),
        ("cat 0.5 0.5 0.2 0.1", "'cat' is not a number"),
        ("0 0.5 0.5 0.2", "3 numbers behind the class"),
        ("0 0.5", "1 numbers behind the class"),
        ("1.5 cat", "1.5 is not from 0 to 1"),
    ],
)
def test_what_is_refused(line: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_line(line, PLAIN)


def test_a_box_beyond_the_picture() -> None:
    assert leaves(read_line("0 0.95 0.5 0.2 0.1", PLAIN))
    assert not leaves(read_line("0 0.9 0.5 0.2 0.1", PLAIN))
    assert not leaves(read_line("0", PLAIN))


def test_rounding_is_no_fault() -> None:
    data: dict[str, Any] = read_line("0 1.0000005 0.5 0.2 0.1", PLAIN)["data"]
    assert data["bbox"][0] == 1
