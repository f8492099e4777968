"""Saliency: what stands out is found, the formula written out, the heatmap as a file."""

import cmath
import io
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydantic import ValidationError

from opsin import Box, Picture, Target
from opsin.core.testing import run_operation
from opsin.plugins.saliency import runner
from opsin.plugins.saliency.plugin import FindSaliency, Saliency, SaliencyParams
from tests.pictures import noise, portrait


def find(image: Image.Image | Picture, **params: Any) -> Saliency:
    return run_operation(FindSaliency(), np.array(image), params)


def disc(
    x: int, y: int, radius: int = 20, width: int = 400, height: int = 300, seed: int = 0
) -> Picture:
    """A bright disc on dark noise."""
    picture = noise(width, height, seed) // 4
    rows, columns = np.ogrid[:height, :width]
    picture[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = 240
    return picture


def heatmap(result: Saliency) -> npt.NDArray[np.uint8]:
    (artifact,) = result.artifacts()
    assert (artifact.name, artifact.content_type) == ("saliency.png", "image/png")
    with Image.open(io.BytesIO(artifact.content)) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.array(image)


@pytest.fixture(scope="module")
def person() -> Picture:
    """Grace Hopper, 512 x 600."""
    with Image.open(io.BytesIO(portrait())) as image:
        return np.array(image.convert("RGB"))


# --- what stands out ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(200, 150), (60, 60), (340, 60), (60, 240), (330, 230)])
@pytest.mark.parametrize("seed", range(3))
def test_a_bright_disc_on_noise_is_the_peak(place: tuple[int, int], seed: int) -> None:
    result = find(disc(*place, seed=seed))
    assert result.peak is not None and result.focus_box is not None
    assert math.dist((result.peak.x, result.peak.y), place) <= 25
    box = result.focus_box
    assert box.x_min <= place[0] < box.x_max and box.y_min <= place[1] < box.y_max


def test_the_peak_is_in_pixels_at_any_size() -> None:
    for factor in (1, 2, 5):
        picture = disc(300 * factor, 80 * factor, 15 * factor, 400 * factor, 300 * factor)
        peak = find(picture).peak
        assert peak is not None
        assert math.dist((peak.x / factor, peak.y / factor), (300, 80)) <= 20


def test_the_portrait(person: Picture) -> None:
    """The badge and braid of the cap draw the eye; the box holds cap, face and collar."""
    result = find(person)
    assert result.peak is not None and result.focus_box is not None
    assert math.dist((result.peak.x, result.peak.y), (200, 60)) <= 12
    assert 150 <= result.focus_box.x_min < result.focus_box.x_max <= 360
    assert result.entropy == pytest.approx(0.954, abs=0.01)


def test_a_little_more_light_moves_nothing(person: Picture) -> None:
    dim = person // 2 + 20
    one, other = find(dim), find(dim + np.uint8(10))
    assert one.focus_box == other.focus_box
    assert one.peak == other.peak
    assert np.abs(heatmap(one).astype(int) - heatmap(other)).max() <= 3


def test_twice_the_size_is_the_same_map(person: Picture) -> None:
    larger = np.array(Image.fromarray(person).resize((1024, 1200), Image.Resampling.BICUBIC))
    one, other = runner.saliency_map(person), runner.saliency_map(larger)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


# --- nothing stands out ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3000, 1), (1, 3000), (63, 31), (500, 300)])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_plain_picture_has_no_peak_and_a_black_map(size: tuple[int, int], level: int) -> None:
    result = find(Image.new("RGB", size, (level, level, level)))
    assert (result.peak, result.focus_box, result.entropy) == (None, None, None)
    assert not heatmap(result).any()
    (annotation,) = result.annotations()
    assert (annotation.data, annotation.storage_path) == ({}, "saliency.png")


@pytest.mark.parametrize("size", [(2, 2), (3, 1), (1, 3), (3000, 1), (1, 3000), (3000, 7)])
def test_tiny_and_thin_pictures_have_their_peak_inside(size: tuple[int, int]) -> None:
    width, height = size
    result = find(noise(width, height))
    assert result.peak is not None and result.focus_box is not None and result.entropy is not None
    assert 0 <= result.peak.x < width and 0 <= result.peak.y < height
    assert result.focus_box == result.focus_box.clipped(width, height)
    assert not result.focus_box.is_empty
    assert 0 <= result.entropy <= 1


# --- the map as the paper defines it --------------------------------------------------------------


def test_the_map_is_the_papers_formula() -> None:
    luma = np.random.default_rng(0).random((12, 16))
    spectrum = np.fft.fft2(luma)
    logarithm, phase = np.log(np.abs(spectrum)), np.angle(spectrum)
    residual = np.empty_like(logarithm)
    for y, x in np.ndindex(luma.shape):
        around = [
            logarithm[(y + down) % 12, (x + right) % 16]
            for down, right in itertools.product((-1, 0, 1), repeat=2)
        ]
        residual[y, x] = logarithm[y, x] - sum(around) / 9
    expected = np.abs(np.fft.ifft2(np.exp(residual + 1j * phase))) ** 2
    assert np.allclose(runner.spectral_residual(luma), expected, rtol=1e-4)


def test_a_frequency_that_is_not_there_stays_away() -> None:
    """One row of waves: all its other frequencies are zero but for rounding."""
    waves = np.tile(np.cos(np.arange(64) * 2 * math.pi * 4 / 64), (48, 1)) / 4 + 0.5
    saliency = runner.spectral_residual(waves)
    assert np.abs(saliency - saliency[0]).max() < 1e-9 * saliency.max()
    assert cmath.isfinite(complex(saliency.sum()))


def test_a_point_is_smoothed_into_a_bell_and_nothing_comes_from_outside() -> None:
    point = np.zeros((30, 40))
    point[2, 20] = 1
    smoothed = runner.gaussian(30) @ point @ runner.gaussian(40)
    rows, columns = np.ogrid[:30, :40]
    bell = np.exp(-((rows - 2) ** 2 + (columns - 20) ** 2) / (2 * 2.5**2))
    assert np.allclose(smoothed, bell)


def test_the_map_goes_from_0_to_1_on_64_pixels(person: Picture) -> None:
    saliency = runner.saliency_map(person)
    assert saliency.shape == (64, 55)
    assert (saliency.min(), saliency.max()) == (0, 1)
    assert runner.saliency_map(noise(1000, 10)).shape == (1, 64)


# --- box and entropy ------------------------------------------------------------------------------


def every_window(saliency: npt.NDArray[np.float64], share: float) -> int:
    """The smallest area by trying all windows."""
    rows, columns = saliency.shape
    return min(
        (bottom - top) * (right - left)
        for top, bottom in itertools.combinations(range(rows + 1), 2)
        for left, right in itertools.combinations(range(columns + 1), 2)
        if saliency[top:bottom, left:right].sum() >= share * saliency.sum() * runner.ALMOST
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (7, 8), (8, 5)])
def test_no_smaller_window_holds_as_much(shape: tuple[int, int], share: float) -> None:
    for seed in range(5):
        saliency = np.random.default_rng(seed).random(shape) ** 4
        window = runner.smallest_window(saliency, share)
        inside = saliency[window.top : window.bottom, window.left : window.right]
        assert inside.sum() >= share * saliency.sum() * runner.ALMOST
        assert inside.size == every_window(saliency, share)


def test_a_larger_share_needs_a_larger_box(person: Picture) -> None:
    boxes = [find(person, focus_share=share).focus_box for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
    areas = [box.width * box.height for box in boxes if box is not None]
    assert areas == sorted(areas) and len(areas) == 5
    assert boxes[-1] == Box(x_min=0, y_min=0, x_max=512, y_max=600)


def test_entropy_says_how_spread_a_map_is() -> None:
    point = np.zeros((8, 8))
    point[3, 4] = 1
    assert runner.entropy(point) == 0
    assert runner.entropy(np.ones((8, 8))) == pytest.approx(1)
    point[3, 5] = 1
    assert runner.entropy(point) == pytest.approx(1 / 6)  # 1 of 6 bits
    one, many = find(disc(200, 150)).entropy, find(noise(400, 300)).entropy
    assert one is not None and many is not None and one < many


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValidationError):
        SaliencyParams(focus_share=share)


# --- regions, heatmap and annotation --------------------------------------------------------------


def test_places_in_a_region_are_pixels_of_the_whole_picture() -> None:
    picture = noise(900, 700)
    picture[200:500, 300:700] = disc(330, 70)
    region = Box(x_min=300, y_min=200, x_max=700, y_max=500)
    params = {"target": Target.PROMINENT_PERSON}
    result = run_operation(FindSaliency(), picture, params, region=region)
    alone = find(disc(330, 70))
    assert result.peak is not None and alone.peak is not None and alone.focus_box is not None
    assert (result.peak.x, result.peak.y) == (alone.peak.x + 300, alone.peak.y + 200)
    assert math.dist((result.peak.x, result.peak.y), (630, 270)) <= 25
    assert result.focus_box == alone.focus_box.moved(300, 200)
    assert heatmap(result).shape == (300, 400)
    (annotation,) = result.annotations()
    assert annotation.data["bbox"] == [300, 200, 400, 300]
    assert annotation.data["format"] == "xywh"


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (512, 600, (600, 512)),
        (1024, 3, (3, 1024)),
        (2048, 1024, (512, 1024)),
        (1, 3000, (1024, 1)),
        (1, 1, (1, 1)),
    ],
)
def test_the_heatmap_has_the_regions_size_up_to_1024(
    width: int, height: int, shape: tuple[int, int]
) -> None:
    assert heatmap(find(noise(width, height))).shape == shape


def test_the_heatmap_is_the_map(person: Picture) -> None:
    result = find(person)
    levels = heatmap(result)
    assert levels.max() >= 250 and levels.min() == 0
    assert result.peak is not None
    assert levels[result.peak.y, result.peak.x] >= 245
    small = np.asarray(Image.fromarray(levels).resize((55, 64), Image.Resampling.BOX)) / 255
    assert np.corrcoef(small.ravel(), runner.saliency_map(person).ravel())[0, 1] > 0.99


def test_the_annotation_names_the_heatmap_and_the_json_does_not_hold_it(person: Picture) -> None:
    result = find(person)
    (annotation,) = result.annotations()
    assert (annotation.annotation_type, annotation.class_name) == ("heatmap", "saliency")
    assert annotation.storage_path == "saliency.png"
    assert result.peak is not None and result.focus_box is not None
    box = result.focus_box
    assert annotation.data == {
        "peak": [result.peak.x, result.peak.y],
        "focus_box": [box.x_min, box.y_min, box.width, box.height],
    }
    assert set(result.model_dump()) == {"region", "note", "peak", "focus_box", "entropy"}
    read = Saliency.model_validate_json(result.model_dump_json())
    assert read.artifacts() == ()
    (annotation,) = read.annotations()
    assert annotation.storage_path is None
    copy = result.model_copy(update={"note": "as the engine does"})
    assert copy.artifacts() == result.artifacts()
