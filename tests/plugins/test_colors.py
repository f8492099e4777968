"""Dominant colours: painted ones come back exactly, CIELAB against published values."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from opsin import Picture
from opsin.core.testing import run_operation
from opsin.plugins.colors import runner
from opsin.plugins.colors.cielab import lab_of, srgb_of
from opsin.plugins.colors.plugin import (
    DominantColors,
    DominantColorsParams,
    FindDominantColors,
)
from tests.pictures import BLUE, GREEN, RED, YELLOW, noise, portrait, quadrants


def find(image: Image.Image | Picture, **params: Any) -> DominantColors:
    return run_operation(FindDominantColors(), np.array(image), params)


def shares(image: Image.Image | Picture, **params: Any) -> dict[str, float]:
    return {color.hex: color.share for color in find(image, **params).colors}


def hexadecimal(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def person() -> Image.Image:
    with Image.open(io.BytesIO(portrait())) as image:
        return image.convert("RGB")


# --- CIELAB ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "lab"),
    [  # as published for sRGB and D65
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
        ((1, 1, 1), (0.2742, 0.0, 0.0)),
    ],
)
def test_cielab_is_that_of_d65(
    colour: tuple[int, int, int], lab: tuple[float, float, float]
) -> None:
    (computed,) = lab_of(np.array([colour], np.uint8))
    assert computed.tolist() == pytest.approx(lab, abs=0.02)


def test_every_colour_survives_the_way_to_cielab_and_back() -> None:
    levels = np.r_[0:256:15, 1, 2, 10, 11, 254].astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    assert np.array_equal(srgb_of(lab_of(colours)), colours)


def test_a_colour_outside_srgb_is_clipped() -> None:
    assert srgb_of(np.array([[60.0, 150.0, 0.0], [150.0, 0.0, 0.0]])).tolist()[1] == [255] * 3


# --- painted pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4, 5, 16])
@pytest.mark.parametrize("size", [(64, 48), (256, 256), (1024, 512)])
def test_painted_colours_come_back_exactly(size: tuple[int, int], count: int) -> None:
    assert shares(quadrants(*size), count=count) == {
        hexadecimal(colour): 0.25 for colour in (RED, GREEN, BLUE, YELLOW)
    }


def test_shares_are_those_painted_largest_first() -> None:
    picture = np.empty((100, 100, 3), np.uint8)
    picture[:60], picture[60:90], picture[90:] = BLUE, RED, YELLOW
    found = [(color.hex, color.share) for color in find(picture).colors]
    names = (hexadecimal(colour) for colour in (BLUE, RED, YELLOW))
    assert found == list(zip(names, (0.6, 0.3, 0.1), strict=True))
    (first, *_) = find(picture).colors
    assert (first.red, first.green, first.blue) == BLUE


def test_a_large_picture_keeps_exact_colours_and_nearly_exact_shares() -> None:
    """The cells do not fit the edge, and no colour is mixed there."""
    picture = np.empty((1500, 2001, 3), np.uint8)
    picture[:, :667], picture[:, 667:] = RED, GREEN
    assert shares(picture) == pytest.approx(
        {hexadecimal(RED): 1 / 3, hexadecimal(GREEN): 2 / 3}, abs=0.001
    )


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_regular_stripes_do_not_fall_in_step_with_the_sample(period: int) -> None:
    """2048 pixels, 8 a cell: an even grid would see one colour only."""
    columns = np.arange(2048) % period < period // 2
    picture = np.where(columns[None, :, None], 255, 0).astype(np.uint8).repeat(512, axis=0)
    picture = picture.repeat(3, axis=2)
    assert shares(picture) == pytest.approx({"#ffffff": 0.5, "#000000": 0.5}, abs=0.01)


def test_fewer_colours_than_there_are_keep_the_large_ones() -> None:
    picture = np.empty((100, 100, 3), np.uint8)
    picture[:50], picture[50:98], picture[98:] = (10, 10, 10), (240, 240, 240), (235, 235, 240)
    dark, light = find(picture, count=2).colors
    assert (dark.hex, dark.share) == ("#0a0a0a", 0.5)
    assert light.share == 0.5
    assert abs(light.red - 240) <= 1


# --- few colours, gradients, photographs ----------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3000), (3000, 1), (700, 500)])
def test_one_colour_is_one_colour(size: tuple[int, int]) -> None:
    for colour in (RED, (0, 0, 0), (255, 255, 255)):
        assert shares(Image.new("RGB", size, colour)) == {hexadecimal(colour): 1.0}


def test_the_shades_of_a_compressed_plain_picture_count_as_one() -> None:
    rng = np.random.default_rng(0)
    picture = (np.array(BLUE) + rng.integers(-1, 2, (100, 100, 3))).astype(np.uint8)
    (color,) = find(picture).colors
    assert color.share == 1
    assert np.abs(np.array([color.red, color.green, color.blue]) - BLUE).max() <= 1
    assert len(find(picture, merge_below=0).colors) == 5


def test_two_greys_one_level_apart_are_two_when_asked() -> None:
    picture = np.full((10, 10, 3), 100, np.uint8)
    picture[:3] = 101
    assert shares(picture, merge_below=0) == {"#646464": 0.7, "#656565": 0.3}
    assert shares(picture) == {"#646464": 1.0}


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_a_grey_gradient_is_cut_into_even_parts(count: int) -> None:
    picture = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (64, 256, 3))
    colors = find(picture, count=count).colors
    assert len(colors) == count
    assert all(color.red == color.green == color.blue for color in colors)
    assert all(0.5 / count < color.share < 2 / count for color in colors)
    steps = np.diff(sorted(color.red for color in colors))
    assert count == 1 or steps.max() < 2 * 256 / count


def test_the_portrait() -> None:
    colors = find(person()).colors
    assert [color.hex for color in colors] == [
        "#161217",  # cap, coat and shadow
        "#5c7ebe",  # the wall
        "#b76747",  # skin and curtain
        "#171641",  # the flag's blue
        "#dfc5b8",  # collar and light on the face
    ]
    assert [color.share for color in colors] == pytest.approx(
        [0.417, 0.201, 0.159, 0.114, 0.109], abs=0.005
    )


@pytest.mark.parametrize("count", [1, 3, 5, 16])
def test_shares_add_up_and_every_pixel_counts_for_its_nearest_colour(count: int) -> None:
    picture = np.array(person().resize((128, 150)))
    colors = find(picture, count=count, merge_below=0).colors
    assert sum(color.share for color in colors) == pytest.approx(1, abs=1e-12)
    assert [color.share for color in colors] == sorted((c.share for c in colors), reverse=True)
    centres = lab_of(np.array([[c.red, c.green, c.blue] for c in colors], np.uint8))
    points = lab_of(picture.reshape(-1, 3))
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    counted = np.bincount(nearest, minlength=len(colors)) / len(points)
    assert counted.tolist() == pytest.approx([c.share for c in colors], abs=0.02)


def test_more_colours_describe_the_portrait_better() -> None:
    points = lab_of(np.array(person().resize((64, 75))).reshape(-1, 3))
    weights = np.ones(len(points))
    errors = []
    for count in (1, 2, 4, 8, 16):
        centres, _ = runner.k_means(points, weights, count)
        errors.append(np.linalg.norm(points[:, None] - centres, axis=2).min(axis=1).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_the_same_colours_at_another_size_and_again() -> None:
    first, again = find(person()), find(person())
    assert first == again
    larger = find(person().resize((1536, 1800), Image.Resampling.BICUBIC))
    for one, other in zip(first.colors, larger.colors, strict=True):
        assert one.share == pytest.approx(other.share, abs=0.02)
        assert abs(one.red - other.red) + abs(one.green - other.green) < 10


def test_noise_needs_no_more_than_the_limit_of_rounds() -> None:
    assert len(find(noise(300, 300), count=16).colors) == 16


# --- params and annotations -----------------------------------------------------------------------


def test_every_colour_is_a_metric_named_by_it() -> None:
    result = find(quadrants())
    annotations = result.annotations()
    assert [annotation.class_name for annotation in annotations] == [c.hex for c in result.colors]
    assert annotations[0].annotation_type == "metric"
    assert annotations[0].data == {"name": "dominant_color", "value": 0.25, "unit": "fraction"}
    assert [annotation.ordering for annotation in annotations] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "params", [{"count": 0}, {"count": 17}, {"merge_below": -1}, {"merge_below": float("nan")}]
)
def test_params_outside_their_limits_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DominantColorsParams.model_validate(params)
