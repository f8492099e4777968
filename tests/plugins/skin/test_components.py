"""Components and outlines against masks of which they are known."""

from collections import deque

import numpy as np
import numpy.typing as npt
import pytest

from opsin.plugins.skin.runner.components import components, outlines, simplified

Mask = npt.NDArray[np.bool_]


def flooded(mask: Mask) -> int:
    """The number of 8-connected components, pixel by pixel."""
    left, count = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True)), 0
    while left:
        count += 1
        queue = deque([left.pop()])
        while queue:
            row, column = queue.popleft()
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    place = (row + down, column + right)
                    if place in left:
                        left.remove(place)
                        queue.append(place)
    return count


def drawn(*rows: str) -> Mask:
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize("share", [0.05, 0.3, 0.42, 0.6, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_components_are_those_of_a_flood(share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 55)) < share
    labels, count = components(mask)
    assert count == flooded(mask)
    assert sorted(set(labels.tolist())) == list(range(count))
    rows, columns = np.nonzero(mask)
    for label in range(min(count, 20)):
        part = np.zeros_like(mask)
        part[rows[labels == label], columns[labels == label]] = True
        assert flooded(part) == 1


def test_a_long_snake_is_one_component() -> None:
    mask = np.zeros((41, 60), bool)
    mask[::2] = True
    mask[1::4, -1], mask[3::4, 0] = True, True
    assert components(mask)[1] == 1


def test_nothing_and_one_pixel() -> None:
    assert components(np.zeros((3, 3), bool))[1] == 0
    assert outlines(np.zeros((3, 3), bool)) == []
    (only,) = outlines(drawn("...", ".#.", "..."))
    assert only.area == 1
    assert {tuple(corner) for corner in only.corners.tolist()} == {(1, 1), (2, 1), (2, 2), (1, 2)}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_outlines_are_one_to_a_component_and_enclose_it(share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((20, 24)) < share
    labels, count = components(mask)
    found = outlines(mask)
    assert len(found) == count
    rows, columns = np.nonzero(mask)
    for outline in found:
        left, top = outline.corners.min(axis=0)
        right, bottom = outline.corners.max(axis=0)
        boxes = [
            (columns[labels == n].min(), rows[labels == n].min(), columns[labels == n].max() + 1,
             rows[labels == n].max() + 1, (labels == n).sum())
            for n in range(count)
        ]  # fmt: skip
        # Holes are inside an outline: it encloses at least its component.
        assert any(
            box[:4] == (left, top, right, bottom) and box[4] <= outline.area for box in boxes
        )


def test_the_area_counts_holes_and_corners_that_touch() -> None:
    ring = drawn("####", "#..#", "#..#", "####")
    (outline,) = outlines(ring)
    assert outline.area == 16
    touching = drawn("##..", "##..", "..##", "..##")
    (both,) = outlines(touching)
    assert both.area == 8
    assert [outline.area for outline in outlines(touching, smallest=8)] == []


def test_simplifying_keeps_within_the_tolerance() -> None:
    rows, columns = np.mgrid[:120, :120]
    disc = np.hypot(rows - 60, columns - 60) < 50
    (outline,) = outlines(disc)
    few = simplified(outline.corners, 1.0)
    assert len(few) < len(outline.corners) / 3
    radius = np.hypot(few[:, 0] - 60.5, few[:, 1] - 60.5)
    assert radius.min() > 48 and radius.max() < 52
