"""Image quality: truth known by construction, the sources' formulas written out, invariances."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from opsin import Picture
from opsin.core.testing import run_operation
from opsin.plugins.quality import runner
from opsin.plugins.quality.plugin import (
    UNITS,
    ImageQuality,
    ImageQualityParams,
    MeasureImageQuality,
)
from tests.pictures import noise, portrait


def measure(image: Image.Image | Picture, **params: int) -> ImageQuality:
    return run_operation(MeasureImageQuality(), np.array(image), params)


def grey(levels: object) -> Picture:
    """A grey picture from height x width levels, rounded to 8 bits."""
    rounded = np.clip(np.rint(np.asarray(levels, np.float64)), 0, 255).astype(np.uint8)
    return np.repeat(rounded[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def person() -> Image.Image:
    """Grace Hopper, 512 x 600."""
    with Image.open(io.BytesIO(portrait())) as image:
        return image.convert("RGB")


def test_the_portrait(person: Image.Image) -> None:
    assert measure(person).model_dump(exclude_none=True) == pytest.approx(
        {
            "sharpness": 948,
            "mean_luma": 0.3020,
            "clipped_shadows": 0.00699,
            "clipped_highlights": 0.01395,
            "contrast": 0.2702,
            "noise": 2.166,
            "colorfulness": 67.5,
        },
        rel=0.01,
    )


# --- sharpness ------------------------------------------------------------------------------------


def test_blur_lowers_sharpness_and_more_blur_lowers_it_more(person: Image.Image) -> None:
    blurred = [person.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 0.5, 1, 2, 4, 8)]
    measured = [measure(image).sharpness for image in blurred]
    assert measured == sorted(measured, reverse=True)
    assert measured[-1] < measured[0] / 100


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    luma = noise(20, 16)[..., 0]
    padded = np.pad(luma.astype(float), 1, mode="reflect")
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    response = [(padded[y : y + 3, x : x + 3] * kernel).sum() for y in range(16) for x in range(20)]
    assert runner.sharpness(luma) == pytest.approx(np.var(response))


def test_sharpness_does_not_depend_on_resolution() -> None:
    """The same discs as cameras of several resolutions would see them."""
    scene = np.full((3072, 3072), 40, np.uint8)
    rows, columns = np.ogrid[:3072, :3072]
    for x, y, radius, level in np.random.default_rng(0).integers(100, 2900, (25, 4)).tolist():
        inside = (columns - x) ** 2 + (rows - y) ** 2 < (radius // 6) ** 2
        scene[inside] = 40 + level % 200
    finest = Image.fromarray(scene).convert("RGB")
    expected = measure(finest).sharpness
    for side in (1024, 1536, 2048):
        seen = finest.resize((side, side), Image.Resampling.BOX)
        assert measure(seen).sharpness == pytest.approx(expected, rel=0.1), side


def test_enlarging_does_not_sharpen(person: Image.Image) -> None:
    """Interpolation itself takes a little of the finest detail, however far it enlarges."""
    width, height = person.size
    larger = [
        measure(person.resize((width * factor, height * factor), Image.Resampling.BICUBIC))
        for factor in (2, 3, 5)
    ]
    measured = [result.sharpness / measure(person).sharpness for result in larger]
    assert measured == pytest.approx([0.82] * 3, abs=0.02)


def test_a_thumbnail_is_less_sharp_than_its_original(person: Image.Image) -> None:
    width, height = person.size
    sizes = [(width // n, height // n) for n in (1, 2, 4, 8)]
    measured = [measure(person.resize(size)).sharpness for size in sizes]
    assert measured == sorted(measured, reverse=True)
    assert measured[1] < 0.5 * measured[0]


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1, 2, 5, 10, 20])
def test_the_noise_that_was_added_is_what_is_estimated(sigma: int) -> None:
    """On plain grey and on a slope; rounding to 8 bits adds a variance of 1/12."""
    added = np.random.default_rng(sigma).normal(0, sigma, (300, 400))
    truth = math.hypot(sigma, math.sqrt(1 / 12))
    slope = np.linspace(80, 170, 400)
    assert measure(grey(128 + added)).noise == pytest.approx(truth, rel=0.02)
    assert measure(grey(slope + added)).noise == pytest.approx(truth, rel=0.02)


def test_noise_of_its_own_in_each_channel_is_the_noise_of_luma() -> None:
    added = np.random.default_rng(1).normal(128, 10, (300, 400, 3))
    picture = np.rint(added).astype(np.uint8)
    weights = math.hypot(0.299, 0.587, 0.114)
    assert measure(picture).noise == pytest.approx(10 * weights, rel=0.02)


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_added_to_the_portrait(person: Image.Image, sigma: int) -> None:
    """Texture counts as noise: the estimate lies above, by less than 1.5 levels."""
    added = np.random.default_rng(sigma).normal(0, sigma, (*np.array(person).shape[:2], 1))
    noisy = np.clip(np.rint(np.array(person) * 0.7 + 40 + added), 0, 255).astype(np.uint8)
    estimate = measure(noisy).noise
    assert estimate is not None and sigma * 0.95 < estimate < sigma + 1.5


def test_noise_is_immerkaers_formula_also_across_the_strips() -> None:
    luma = noise(30, 2 * runner.ROWS_AT_ONCE + 7)[..., 0]
    height, width = luma.shape
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    response = sum(
        abs(int((luma[y : y + 3, x : x + 3] * mask).sum()))
        for y in range(height - 2)
        for x in range(width - 2)
    )
    expected = math.sqrt(math.pi / 2) / (6 * (width - 2) * (height - 2)) * response
    assert runner.noise(luma) == pytest.approx(expected)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (3000, 2), (2, 3000)])
def test_too_small_for_noise_is_not_no_noise(width: int, height: int) -> None:
    result = measure(noise(width, height))
    assert result.noise is None
    assert "noise" not in {annotation.data["name"] for annotation in result.annotations()}


# --- exposure and contrast ------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 5, 6, 128, 249, 250, 255])
def test_a_plain_picture_has_its_level_and_nothing_else(level: int) -> None:
    result = measure(grey(np.full((30, 40), level)))
    assert result.mean_luma == pytest.approx(level / 255)
    assert (result.sharpness, result.noise, result.colorfulness) == (0, 0, 0)
    assert result.contrast == pytest.approx(0, abs=1e-9)
    assert (result.clipped_shadows, result.clipped_highlights) == (level <= 5, level >= 250)


def test_clipped_shares_are_those_painted() -> None:
    levels = np.full((100, 100), 128)
    levels[:10], levels[10:12], levels[12:13] = 0, 255, 20
    result = measure(grey(levels))
    assert result.clipped_shadows == pytest.approx(0.10)
    assert result.clipped_highlights == pytest.approx(0.02)
    wider = measure(grey(levels), shadow_level=20, highlight_level=128)
    assert wider.clipped_shadows == pytest.approx(0.11)
    assert wider.clipped_highlights == pytest.approx(0.89)


@pytest.mark.parametrize(
    ("colour", "luma"), [((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)]
)
def test_luma_is_that_of_bt_601(colour: tuple[int, int, int], luma: float) -> None:
    assert measure(Image.new("RGB", (8, 8), colour)).mean_luma == pytest.approx(luma, abs=0.002)


def test_contrast_of_two_halves_is_half_their_difference() -> None:
    halves = np.repeat([[50, 150]], 20, axis=1).repeat(30, axis=0)
    assert measure(grey(halves)).contrast == pytest.approx(50 / 255)
    black_and_white = np.repeat([[0, 255]], 20, axis=1).repeat(30, axis=0)
    assert measure(grey(black_and_white)).contrast == pytest.approx(0.5)


def test_a_little_more_light_moves_the_exposure_only(person: Image.Image) -> None:
    dim = np.array(person) // 2 + 20
    before, after = measure(dim), measure(dim + np.uint8(10))
    assert after.mean_luma == pytest.approx(before.mean_luma + 10 / 255, abs=0.002)
    for name in ("sharpness", "contrast", "noise", "colorfulness"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=0.005), name


def test_size_moves_no_measure_of_exposure_or_colour(person: Image.Image) -> None:
    before, after = measure(person), measure(person.resize((1536, 1800)))
    for name in ("mean_luma", "contrast", "colorfulness"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=0.02), name


# --- colourfulness --------------------------------------------------------------------------------


def test_colourfulness_is_that_of_hasler_and_suesstrunk() -> None:
    """Half pure red, half pure blue, by hand: rg is 255 or 0, yb is 127.5 or -255."""
    halves = np.zeros((512, 512, 3), np.uint8)
    halves[:, :256, 0], halves[:, 256:, 2] = 255, 255
    spread = math.hypot(127.5, 382.5 / 2)
    mean = math.hypot(127.5, -127.5 / 2)
    assert measure(halves).colorfulness == pytest.approx(spread + 0.3 * mean)


def test_less_saturation_is_less_colourful(person: Image.Image) -> None:
    luma = person.convert("L").convert("RGB")
    measured = [measure(Image.blend(person, luma, part)).colorfulness for part in (0, 0.3, 0.7, 1)]
    assert measured == sorted(measured, reverse=True)
    assert measured[-1] == 0


# --- params and annotations -----------------------------------------------------------------------


def test_every_measure_is_a_metric_with_its_unit(person: Image.Image) -> None:
    result = measure(person)
    annotations = result.annotations()
    assert {annotation.annotation_type for annotation in annotations} == {"metric"}
    assert [annotation.data for annotation in annotations] == [
        {"name": name, "value": getattr(result, name), "unit": unit} for name, unit in UNITS.items()
    ]
    assert [annotation.ordering for annotation in annotations] == list(range(7))
    assert UNITS.keys() == ImageQuality.model_fields.keys() - {"region", "note"}


@pytest.mark.parametrize("params", [{"shadow_level": 128}, {"highlight_level": 256}])
def test_levels_that_are_none_are_refused(params: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ImageQualityParams.model_validate(params)
