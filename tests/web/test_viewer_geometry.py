"""The viewer's geometry in Node, held to what exports read and to numbers worked out by hand."""

import json
import random
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opsin.core.exports.shapes import read_shape
from opsin.web.viewer import VIEWER_DIR
from tests.node import find_node

SCRIPT = Path(__file__).with_name("geometry.mjs")


def ask(question: str, **given: Any) -> Any:
    done = subprocess.run(
        [*find_node().node, "--no-warnings", str(SCRIPT), str(VIEWER_DIR)],
        input=json.dumps({"question": question, **given}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


DATA: list[dict[str, Any]] = [
    {"bbox": [10, 20, 30, 40], "format": "xywh"},
    {"bbox": [10, 20, 30, 40]},
    {"bbox": [10, 20, 40, 60], "format": "XYXY"},
    {"bbox": [25, 40, 30, 40], "format": "cxcywh"},
    {"bbox": [0.1, 0.2, 0.3, 0.4], "format": "xywhn"},
    {"bbox": [0.1, 0.2, 0.3, 0.4], "format": "xyxy_normalized"},
    {"bbox": [0.1, 0.2, 0.3, 0.4], "normalized": True},
    {"x_min": 10, "y_min": 20, "x_max": 40, "y_max": 60},
    {"left": 1, "top": 2, "right": 3, "bottom": 4, "image_width": 200, "image_height": 150},
    {"x": 5, "y": 6, "width": 7, "height": 8},
    {"points": [[1, 2], [30, 4], [5, 60]], "format": "polygon"},
    {"segmentation": [[1, 2, 30, 4, 5, 60], [100, 100, 120, 100, 110, 130]]},
    {"polygon": [1, 2, 30, 4, 5, 60]},
    {"rle": {"counts": [12, 5, 8, 3, 15, 2], "size": [9, 5]}},
    {"segmentation": {"counts": "62B5", "size": [9, 9]}},
    {"keypoints": [{"name": "nose", "x": 1, "y": 2}, {"x": 9, "y": 8, "visible": False}]},
    {"keypoints": [[1, 2, 0.5], [30, 40, 0.9]]},
    {"keypoints": [[1, 2], [3, 4]], "polygon": [1, 2, 30, 4, 5, 60], "skeleton": [[0, 1]]},
    {"keypoints": [[1, 2]], "rle": {"counts": [12, 5, 8, 3, 15, 2], "size": [9, 5]}},
    {"x": 4, "y": 5, "polygon": [1, 2, 30, 4, 5, 60]},
    {"x": 4, "y": 5},
    {"bbox": [1, 2, -3, 4]},
    {"bbox": ["1", 2, 3, 4]},
    {"bbox": [1, 2, 3]},
    {"points": [[1, 2], [3, 4]]},
    {"rle": {"counts": [-1], "size": [2, 2]}},
    {"bbox": None},
    {"keypoints": "none"},
    {"text": "no shape"},
    {"scores": {"dog": 0.9}},
]


def test_shapes_are_those_of_the_exports() -> None:
    found = ask("shapes", data=DATA, width=400, height=300)
    for data, shape in zip(DATA, found, strict=True):
        expected = read_shape(data, 400, 300)
        assert (shape is None) == (expected is None), data
        if expected is not None:
            assert shape["box"] == pytest.approx(expected.box), data
            if "mask" in shape:
                assert shape["mask"]["area"] == expected.area
            assert len(shape.get("keypoints", ())) == len(expected.keypoints), data


def test_a_mask_goes_down_the_columns() -> None:
    # Two rows, three columns: outside, then the second column.
    assert ask("mask", counts=[2, 2, 2], rows=2, columns=3) == [0, 1, 0, 0, 1, 0]
    assert ask("mask", counts=[0, 1, 9], rows=2, columns=2) == [1, 0, 0, 0]


def test_a_part_of_a_mask_is_that_part_of_the_whole() -> None:
    rng = random.Random(3)
    for _ in range(40):
        rows, columns = rng.randint(1, 12), rng.randint(1, 12)
        counts = [rng.randint(0, 9) for _ in range(rng.randint(0, 40))]
        whole = ask_of_mask(counts, rows, columns)
        left, top = rng.randrange(columns), rng.randrange(rows)
        width, height = rng.randint(1, columns - left), rng.randint(1, rows - top)
        step = rng.randint(1, 3)
        expected = [
            whole[row * columns + column]
            for row in range(top, top + height, step)
            for column in range(left, left + width, step)
        ]
        part = {"part": [left, top, width, height], "step": step}
        assert ask("mask", counts=counts, rows=rows, columns=columns, **part) == expected


def ask_of_mask(counts: list[int], rows: int, columns: int) -> list[int]:
    """The mask pixel by pixel, as COCO defines it."""
    inside = [number % 2 for number, count in enumerate(counts) for _ in range(count)]
    inside = (inside + [0] * rows * columns)[: rows * columns]
    return [inside[column * rows + row] for row in range(rows) for column in range(columns)]


def test_text_can_be_read_on_every_color() -> None:
    rng = random.Random(8)
    grounds = [f"#{rng.randrange(2**24):06x}" for _ in range(200)]
    for ground, text in zip(grounds, ask("readable", grounds=grounds), strict=True):
        assert contrast(ground, text) >= 4.5, (ground, text)


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(color: str) -> float:
        shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1),
        ([0, 0, 10, 10], [5, 0, 10, 10], 1 / 3),
        ([0, 0, 10, 10], [10, 0, 10, 10], 0),
        ([0, 0, 10, 10], [2, 2, 5, 5], 0.25),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),
    ],
)
def test_intersection_over_union(one: list[int], other: list[int], overlap: float) -> None:
    assert ask("overlap", one=one, other=other) == pytest.approx(overlap)


def test_each_box_is_matched_once_the_best_first() -> None:
    left = [{"box": [0, 0, 10, 10], "className": "a"}, {"box": [1, 0, 10, 10], "className": "a"}]
    right = [{"box": [1, 0, 10, 10], "className": "a"}, {"box": [0, 0, 10, 10], "className": "b"}]
    rule = {"threshold": 0.5, "sameClass": True}
    found = ask("compare", left=left, right=right, rule=rule)
    assert [(pair["left"], pair["right"]) for pair in found["matched"]] == [(1, 0)]
    assert (found["onlyLeft"], found["onlyRight"]) == ([0], [1])
    assert found["agreement"] == pytest.approx(1 / 3) and found["meanOverlap"] == 1
    found = ask("compare", left=left, right=right, rule={**rule, "sameClass": False})
    assert found["agreement"] == 1
    assert ask("compare", left=[], right=[], rule=rule)["agreement"] == 1


def test_matching_finds_what_looking_at_every_pair_finds() -> None:
    rng = random.Random(5)

    def boxes(count: int) -> list[dict[str, Any]]:
        return [
            {"box": [rng.uniform(0, 90), rng.uniform(0, 90), rng.uniform(1, 30), 20]}
            for _ in range(count)
        ]

    left, right = boxes(60), boxes(50)
    found = ask("compare", left=left, right=right, rule={"threshold": 0.3, "sameClass": True})
    pairs = sorted(
        (-overlap(a["box"], b["box"]), i, j)
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if overlap(a["box"], b["box"]) >= 0.3
    )
    expected, taken = [], set[tuple[str, int]]()
    for _, i, j in pairs:
        if not {("left", i), ("right", j)} & taken:
            taken |= {("left", i), ("right", j)}
            expected.append((i, j))
    assert [(pair["left"], pair["right"]) for pair in found["matched"]] == expected


def overlap(one: list[float], other: list[float]) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_color_maps_end_where_they_should() -> None:
    tables = dict(ask("colors"))
    assert all(len(table) == 768 for table in tables.values())
    assert tables["viridis"][:3] == [0x44, 0x01, 0x54]
    assert tables["viridis"][-3:] == [0xFD, 0xE7, 0x25]
    assert tables["grey"][384:387] == [128, 128, 128]


def test_heat_is_more_opaque_than_cold() -> None:
    cold, hot = ask("heat", pixels=[0, 0, 0, 255])[3], ask("heat", pixels=[255, 255, 255, 255])[3]
    assert cold < 80 and hot == 255


def test_a_class_has_one_color() -> None:
    dog, cat, again, none = ask("classes", names=["dog", "cat", "dog", None])
    assert dog == again != cat and none.startswith("hsl(")


def test_zooming_holds_the_place_under_the_pointer() -> None:
    seen = ask(
        "viewport", steps=[["resize", 800, 600], ["zoom", 2, 100, 50], ["zoom", 0.5, 100, 50]]
    )
    still = ask("viewport", steps=[["resize", 800, 600]])
    assert seen["seen"] == pytest.approx(still["seen"])


def test_the_picture_is_never_lost() -> None:
    far = ask("viewport", steps=[["resize", 800, 600], ["pan", 100_000, -100_000]])
    left, top, right, bottom = far["seen"]
    assert left < 400 and right > 0 and top < 300 and bottom > 0


def test_the_smallest_box_under_a_place_comes_first() -> None:
    boxes = [[0, 0, 400, 300], [90, 90, 20, 20], [200, 200, 5, 5]]
    assert ask("under", boxes=boxes, x=100, y=100) == [1, 0]
    assert ask("under", boxes=boxes, x=300, y=10) == [0]


# --- scales of charts -----------------------------------------------------------------------------


def test_ticks_of_values_are_round_even_and_hold_every_value() -> None:
    some = random.Random(4)
    sets = [[some.uniform(-1, 1) * 10 ** some.uniform(-6, 9) for _ in range(5)] for _ in range(200)]
    sets += [[3.0], [0.0], [-2.5, -2.5], [0.1, 0.2, 0.3], [15.8, 30.1], [99, 101]]
    for values, ticks in zip(sets, ask("valueTicks", sets=sets), strict=True):
        steps = [after - before for before, after in pairwise(ticks)]
        near = 1e-6 * steps[0]  # far less than a pixel
        assert ticks[0] <= min(values) + near and max(values) <= ticks[-1] + near, values
        assert 2 <= len(ticks) <= 5
        assert min(steps) > 0 and max(steps) == pytest.approx(min(steps), rel=1e-6)
    assert ask("valueTicks", sets=[[15.8, 30.1]]) == [[15, 20, 25, 30, 35]]


def test_ticks_of_days_go_from_the_first_to_the_last() -> None:
    day = 86_400_000
    spans = [[0, 0], [0, 3600_000], [0, 2 * day], [5 * day, 100 * day]]
    one, hour, two, many = ask("timeTicks", spans=spans)
    assert one == [0]
    assert hour == [0, 3600_000]
    assert two == [0, day, 2 * day]
    assert many == [5 * day, 52.5 * day, 100 * day]


def test_a_place_on_an_axis() -> None:
    values = [[5, 0, 10, 100, 300], [0, 0, 10, 300, 100], [7, 7, 7, 0, 50]]
    assert ask("placed", values=values) == [200, 300, 25]
