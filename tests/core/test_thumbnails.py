"""Thumbnails: size, shape, orientation, format, speed."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageCms

from opsin.core.errors import InvalidImage, InvalidInput, TooLarge
from opsin.core.imaging.opening import ImageLimits
from opsin.core.thumbnails import thumbnail
from tests import pictures

LIMITS = ImageLimits()


def opened(result: tuple[bytes, str]) -> Image.Image:
    data, content_type = result
    image = Image.open(io.BytesIO(data))
    assert Image.MIME[image.format or ""] == content_type
    image.load()
    return image


@pytest.mark.parametrize(
    ("size", "box", "fitted"),
    [
        ((400, 300), (200, 200), (200, 150)),
        ((300, 400), (200, 200), (150, 200)),
        ((400, 300), (10_000, 60), (80, 60)),
        ((40, 30), (200, 200), (40, 30)),
        ((2_000, 10), (100, 100), (100, 1)),
        ((9, 2_000), (100, 50), (1, 50)),
        ((7, 7), (1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_it_fits_the_box_keeps_the_ratio_and_never_enlarges(
    image_format: str, size: tuple[int, int], box: tuple[int, int], fitted: tuple[int, int]
) -> None:
    data = pictures.encoded(Image.new("RGB", size, pictures.RED), image_format)
    image = opened(thumbnail(data, LIMITS, *box))
    assert (image.format, image.size) == ("JPEG", fitted)
    middle = np.asarray(image)[fitted[1] // 2, fitted[0] // 2].astype(int)
    assert np.abs(middle - pictures.RED).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_it_is_upright(image_format: str, orientation: int) -> None:
    stored = pictures.quadrants(320, 160)
    if image_format == "TIFF":
        data = pictures.encoded(stored, "TIFF", tiffinfo={0x0112: orientation})
    else:
        data = pictures.encoded(stored, image_format, exif=pictures.exif(orientation))
    image = opened(thumbnail(data, LIMITS, 80, 80))
    assert image.size == ((40, 80) if orientation >= 5 else (80, 40))
    assert 0x0112 not in image.getexif()
    corner = {1: "RED", 2: "GREEN", 3: "YELLOW", 4: "BLUE"}
    corner |= {5: "RED", 6: "BLUE", 7: "YELLOW", 8: "GREEN"}
    expected = getattr(pictures, corner[orientation])
    assert np.abs(np.asarray(image)[5, 5].astype(int) - expected).max() <= 25


def test_transparency_is_kept_in_a_png_and_only_where_there_is_some() -> None:
    image = opened(thumbnail(pictures.palette_png(), LIMITS, 4, 4))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (4, 4))
    corners = np.asarray(image)[[0, 3], [0, 3]].astype(int)
    assert np.abs(corners[0] - (*pictures.RED, 255)).max() <= 6
    assert corners[1, 3] == 0
    assert opened(thumbnail(pictures.alpha_png(255), LIMITS, 4, 4)).format == "JPEG"
    keyed = pictures.raw_png(2, 1, 8, 0, b"\0\1\2", before=pictures.png_chunk(b"tRNS", b"\0\2"))
    assert opened(thumbnail(keyed, LIMITS, 9, 9)).getpixel((1, 0)) == (2, 2, 2, 0)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_it_can_keep_the_format(image_format: str) -> None:
    data = pictures.encoded(pictures.quadrants(), image_format)
    image = opened(thumbnail(data, LIMITS, 16, 16, keep_format=True))
    assert (image.format, image.size) == (image_format, (16, 12))


def test_kept_formats_keep_transparency_and_others_become_jpeg() -> None:
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    for image_format in ("PNG", "WEBP", "GIF"):
        data = pictures.encoded(clear, image_format)
        image = opened(thumbnail(data, LIMITS, 4, 4, keep_format=True))
        assert image.format == image_format
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 0)
    for image_format in ("BMP", "TIFF"):
        data = pictures.encoded(pictures.quadrants(), image_format)
        assert opened(thumbnail(data, LIMITS, 4, 4, keep_format=True)).format == "JPEG"


def test_it_can_be_a_jpeg_whatever_it_was() -> None:
    for data in (pictures.alpha_png(), pictures.palette_png(), pictures.animated_gif()):
        result = thumbnail(data, LIMITS, 1000, 1000, always_jpeg=True)
        assert result[1] == "image/jpeg" and opened(result).mode == "RGB"
    clear = opened(thumbnail(pictures.alpha_png(alpha=0), LIMITS, 8, 8, always_jpeg=True))
    assert min(clear.getpixel((4, 4))) > 250, "what is transparent is white"  # type: ignore[arg-type]  # three numbers


def test_only_the_first_frame_of_an_animation_is_shown() -> None:
    image = opened(thumbnail(pictures.animated_gif(), LIMITS, 8, 8, keep_format=True))
    assert getattr(image, "n_frames", 1) == 1
    assert image.convert("RGB").getpixel((1, 1)) == pictures.RED


@pytest.mark.parametrize(
    "data",
    [
        pictures.sixteen_bit_png(),
        pictures.cmyk_jpeg(),
        pictures.encoded(Image.fromarray(np.eye(9, dtype=np.float32)), "TIFF"),
        pictures.encoded(Image.new("1", (9, 9)), "PNG"),
        pictures.encoded(Image.new("LA", (9, 9), (9, 255)), "PNG"),
    ],
)
def test_unusual_samples(data: bytes) -> None:
    assert opened(thumbnail(data, LIMITS, 5, 5)).format == "JPEG"


def test_a_small_colour_profile_goes_with_it_and_other_metadata_does_not() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    place = Image.Exif()
    place[0x010E] = "at home"
    data = pictures.encoded(
        pictures.quadrants(), "JPEG", icc_profile=profile, exif=place, comment=b"private"
    )
    image = opened(thumbnail(data, LIMITS, 20, 20))
    assert image.info["icc_profile"] == profile
    assert not image.getexif() and "comment" not in image.info
    large = pictures.encoded(pictures.quadrants(), "JPEG", icc_profile=profile + bytes(9_000))
    assert "icc_profile" not in opened(thumbnail(large, LIMITS, 20, 20)).info
    inks = pictures.encoded(Image.new("CMYK", (9, 9)), "JPEG", icc_profile=profile)
    assert "icc_profile" not in opened(thumbnail(inks, LIMITS, 20, 20)).info


def test_boxes_and_files_that_cannot_be() -> None:
    for box in ((0, 9), (9, 0), (-1, 9)):
        with pytest.raises(InvalidInput):
            thumbnail(pictures.solid_png(), LIMITS, *box)
    with pytest.raises(InvalidImage):
        thumbnail(pictures.truncated(pictures.noise_jpeg(600, 400)), LIMITS, 20, 20)
    with pytest.raises(InvalidImage):
        thumbnail(b"", LIMITS, 20, 20)
    with pytest.raises(TooLarge):
        thumbnail(pictures.solid_png(), ImageLimits(max_bytes=20), 20, 20)


def test_a_large_jpeg_is_quick_because_its_detail_is_never_decoded() -> None:
    large = pictures.quadrants(4_000, 3_000)
    as_jpeg, as_bitmap = pictures.encoded(large, "JPEG"), pictures.encoded(large, "PNG")

    def best(data: bytes) -> float:
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            thumbnail(data, LIMITS, 200, 200)
            taken.append(time.perf_counter() - start)
        return min(taken)

    assert best(as_jpeg) < best(as_bitmap)
