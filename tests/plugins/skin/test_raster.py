"""Filled polygons: the pixels whose centres are inside, and no others."""

import math

import numpy as np
import pytest

from opsin.plugins.skin.runner.raster import filled


def test_a_square_fills_its_pixels() -> None:
    mask = filled([(1, 2), (4, 2), (4, 5), (1, 5)], 8, 6)
    expected = np.zeros((8, 6), bool)
    expected[2:5, 1:4] = True
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_star_is_filled_by_the_even_odd_rule(seed: int) -> None:
    """Against the crossings of each pixel's own ray; the star may leave the mask on every side."""
    points = [tuple(p) for p in np.random.default_rng(seed).uniform(-8, 38, (7, 2)).tolist()]
    mask = filled(points, 30, 32)
    for row in range(30):
        for column in range(32):
            x, y, crossed = column + 0.5, row + 0.5, 0
            for (a, b), (c, d) in zip(points, (*points[1:], points[0]), strict=True):
                if (b <= y) != (d <= y) and x >= a + (y - b) / (d - b) * (c - a):
                    crossed += 1
            assert mask[row, column] == (crossed % 2 == 1), (row, column)


def test_an_area_is_that_of_the_polygon() -> None:
    turns = [2 * math.pi * step / 40 for step in range(40)]
    circle = [(50.3 + 40 * math.cos(turn), 50.7 + 40 * math.sin(turn)) for turn in turns]
    area = 40 / 2 * math.sin(2 * math.pi / 40) * 40**2
    assert filled(circle, 100, 100).sum() == pytest.approx(area, rel=0.005)
