"""Perceptual hashes: the formulas written out, near for near-duplicates, far for others."""

import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from opsin import Picture
from opsin.core.testing import run_operation
from opsin.plugins.phash import runner
from opsin.plugins.phash.plugin import HashPicture, PerceptualHash
from tests.pictures import encoded, noise, portrait, quadrants

NEAR = 10
"""Bits: what N. Krawetz takes for a variation of the same picture."""

distance = PerceptualHash.hamming_distance


def hashes(image: Image.Image | Picture) -> PerceptualHash:
    return run_operation(HashPicture(), np.array(image))


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture like no other: a few large soft patches."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def person() -> Image.Image:
    """Grace Hopper, 512 x 600."""
    with Image.open(io.BytesIO(portrait())) as image:
        return image.convert("RGB")


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality)))


# --- the hashes as their sources define them ------------------------------------------------------


def test_the_portrait(person: Image.Image) -> None:
    assert hashes(person).model_dump(exclude_none=True) == {
        "phash": "04e9b006af3c4bdf",
        "dhash": "719b7250fb335454",
    }


def test_the_dct_is_orthonormal_and_that_of_its_definition() -> None:
    matrix = runner.dct_matrix(8)
    assert np.allclose(matrix @ matrix.T, np.eye(8))
    samples = np.random.default_rng(0).random(8)
    plain = [
        math.sqrt((1 if k == 0 else 2) / 8)
        * sum(samples[n] * math.cos(math.pi * k * (2 * n + 1) / 16) for n in range(8))
        for k in range(8)
    ]
    assert np.allclose(matrix @ samples, plain)


def test_the_dct_hash_is_the_low_frequencies_above_their_median() -> None:
    grey = noise(32, 32)[..., :1].repeat(3, axis=2)  # its cells are its pixels
    matrix = runner.dct_matrix(32)
    coefficients = (matrix @ grey[..., 0].astype(float) @ matrix.T)[1:9, 1:9].ravel()
    bits = "".join("1" if c > np.median(coefficients) else "0" for c in coefficients)
    assert hashes(grey).phash == f"{int(bits, 2):016x}"
    assert bits.count("1") == 32


def test_the_difference_hash_says_where_it_gets_brighter() -> None:
    grey = noise(9, 8)[..., :1].repeat(3, axis=2)
    bits = "".join(
        "1" if grey[y, x, 0] < grey[y, x + 1, 0] else "0" for y in range(8) for x in range(8)
    )
    assert hashes(grey).dhash == f"{int(bits, 2):016x}"
    ramp = np.broadcast_to(np.arange(0, 252, 4, dtype=np.uint8)[None, :, None], (40, 63, 3))
    assert hashes(ramp).dhash == "ffffffffffffffff"
    assert hashes(ramp[:, ::-1]).dhash == "0000000000000000"


def test_what_has_no_structure_has_no_bits() -> None:
    """Zero and not rounding errors, whatever the size and level."""
    for level, size in itertools.product(
        (0, 1, 77, 200, 255), ((1, 1), (2, 2), (1, 3000), (53, 31))
    ):
        plain = hashes(Image.new("L", size, level).convert("RGB"))
        assert (plain.phash, plain.dhash) == ("0" * 16, "0" * 16)
    stripes = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (70, 100, 3))
    assert hashes(stripes).phash == "0" * 16  # documented: straight stripes have no 2-D frequency


# --- near-duplicates ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2048, 2400), (300, 352), (256, 300), (128, 150), (64, 75)])
def test_another_size_is_near(person: Image.Image, size: tuple[int, int]) -> None:
    one, other = hashes(person), hashes(person.resize(size, Image.Resampling.BICUBIC))
    assert distance(one.phash, other.phash) <= 4
    assert distance(one.dhash, other.dhash) <= 4


@pytest.mark.parametrize("quality", [95, 75, 50, 25, 10])
def test_another_jpeg_is_near(person: Image.Image, quality: int) -> None:
    one, other = hashes(person), hashes(recompressed(person, quality))
    assert distance(one.phash, other.phash) <= 4
    assert distance(one.dhash, other.dhash) <= 4


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.05, 1.2])
def test_a_little_more_or_less_light_is_near(person: Image.Image, factor: float) -> None:
    one, other = hashes(person), hashes(ImageEnhance.Brightness(person).enhance(factor))
    assert distance(one.phash, other.phash) <= 6
    assert distance(one.dhash, other.dhash) <= 6


@pytest.mark.parametrize("seed", range(10))
def test_scenes_scaled_and_recompressed_are_near(seed: int) -> None:
    picture = scene(seed)
    changed = recompressed(picture.resize((200, 150), Image.Resampling.LANCZOS), 60)
    one, other = hashes(picture), hashes(changed)
    assert distance(one.phash, other.phash) <= NEAR
    assert distance(one.dhash, other.dhash) <= NEAR


# --- other pictures -------------------------------------------------------------------------------


def test_different_pictures_are_far_apart(person: Image.Image) -> None:
    found = [hashes(picture) for picture in (person, quadrants(), *map(scene, range(20)))]
    for kind in ("phash", "dhash"):
        distances = [
            distance(getattr(one, kind), getattr(other, kind))
            for one, other in itertools.combinations(found, 2)
        ]
        assert min(distances) > NEAR
        assert 28 < np.mean(distances) < 36


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_a_turned_picture_is_another_picture(person: Image.Image, turn: Image.Transpose) -> None:
    one, other = hashes(person), hashes(person.transpose(turn))
    assert distance(one.phash, other.phash) > NEAR
    assert distance(one.dhash, other.dhash) > NEAR


# --- distance -------------------------------------------------------------------------------------


def test_distance_is_the_number_of_differing_bits() -> None:
    zero, one, all_bits = "0" * 16, "0" * 15 + "1", "f" * 16
    assert distance(zero, zero) == 0
    assert distance(zero, one) == distance(one, zero) == 1
    assert distance(zero, all_bits) == 64
    assert distance("8000000000000001", "0000000000000000") == 2


@pytest.mark.parametrize("wrong", ["", "0", "0" * 15, "0" * 17, "g" * 16])
def test_distance_to_what_is_no_hash_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"16 hexadecimal digits|invalid literal"):
        distance(wrong, "0" * 16)
