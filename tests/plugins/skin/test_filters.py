"""Smoothing, growing and derivatives against their definitions."""

import numpy as np
import pytest

from opsin.plugins.skin.runner.filters import (
    box_mean,
    derivatives,
    dilated,
    eroded,
    gaussian,
    mean_inside,
)

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize("radius", [1, 2, 3, 6])
def test_squares_are_taken_as_far_as_they_are_in_the_image(radius: int) -> None:
    image = RANDOM.random((23, 31)).astype(np.float32)
    mask = RANDOM.random((23, 31)) < 0.9
    mean, grown, shrunk = box_mean(image, radius), dilated(~mask, radius), eroded(mask, radius)
    inside = mean_inside(image, mask, radius)
    for row in range(23):
        for column in range(31):
            part = (
                slice(max(row - radius, 0), row + radius + 1),
                slice(max(column - radius, 0), column + radius + 1),
            )
            assert mean[row, column] == pytest.approx(image[part].mean(), abs=1e-5)
            assert inside[row, column] == pytest.approx(image[part][mask[part]].mean(), abs=1e-4)
            assert grown[row, column] == (~mask[part]).any()
            assert shrunk[row, column] == mask[part].all()


@pytest.mark.parametrize("sigma", [0.8, 1.6, 3.0])
def test_smoothing_adds_its_variance_and_keeps_the_sum(sigma: float) -> None:
    image = np.zeros((61, 61), np.float32)
    image[30, 30] = 1
    smooth = gaussian(image, sigma)
    place = np.arange(61) - 30
    assert smooth.sum() == pytest.approx(1, abs=1e-5)
    assert (smooth.sum(axis=0) * place**2).sum() == pytest.approx(sigma**2, rel=0.03)
    assert np.allclose(smooth, smooth.T, atol=1e-7)


def test_derivatives_are_exact_for_a_polynomial_of_second_order() -> None:
    y, x = np.mgrid[:20, :24].astype(float)
    image = 3 + 2 * x - y + 0.5 * x**2 - 0.25 * x * y + 0.75 * y**2
    found = [one[1:-1, 1:-1] for one in derivatives(image)]
    expected = (2 + x - 0.25 * y, -1 - 0.25 * x + 1.5 * y, 1 + 0 * x, -0.25 + 0 * x, 1.5 + 0 * x)
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other[1:-1, 1:-1])
