"""Alpha, palettes, deep and floating-point samples, inks: to exactly which 8-bit RGB."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from opsin.core.imaging import probe
from tests import pictures
from tests.core.decoding import DROPPED, LIMITS, colours, pixels


def test_a_transparent_picture_is_laid_on_white_or_loses_its_alpha() -> None:
    half = pictures.alpha_png(128)
    assert colours(half)[0] == [127, 127, 127]
    assert colours(half, DROPPED)[0] == [0, 0, 0]
    assert probe(half, LIMITS).notes == ("transparency composited over white",)
    assert probe(half, LIMITS, DROPPED).notes == ("transparency dropped",)
    opaque = pictures.alpha_png(255, pictures.RED)
    assert colours(opaque)[0] == colours(opaque, DROPPED)[0] == list(pictures.RED)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_in_every_format_that_has_it(image_format: str) -> None:
    image = Image.new("RGBA", (8, 8), (*pictures.BLUE, 0))
    exact = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    data = pictures.encoded(image, image_format, **exact)
    assert colours(data)[0] == [255, 255, 255]
    assert colours(data, DROPPED)[0] == list(pictures.BLUE)


def test_palettes_with_transparency() -> None:
    red, blue = list(pictures.RED), list(pictures.BLUE)
    assert colours(pictures.palette_png()) == [red] * 4 + [[255] * 3] * 4
    assert colours(pictures.palette_png(), DROPPED) == [red] * 4 + [blue] * 4
    image = Image.new("P", (2, 1))
    image.putpalette([*pictures.RED, *pictures.BLUE])
    image.putpixel((1, 0), 1)
    for image_format in ("GIF", "PNG"):
        data = pictures.encoded(image, image_format, transparency=1)
        assert colours(data) == [red, [255] * 3]
        assert colours(data, DROPPED) == [red, blue]


def test_grey_with_alpha() -> None:
    data = pictures.encoded(Image.new("LA", (4, 4), (100, 0)), "PNG")
    assert (colours(data)[0], colours(data, DROPPED)[0]) == ([255] * 3, [100] * 3)


def premultiplied_tiff() -> bytes:
    tags = {256: 2, 257: 1, 259: 1, 262: 1, 273: 8, 277: 2, 278: 1, 279: 4, 338: 1}
    fields = {tag: (3, 1, value) for tag, value in tags.items()}
    return pictures.raw_tiff(fields | {258: (3, 2, 8 | 8 << 16)}, bytes([100, 255, 50, 128]))


def test_alpha_multiplied_into_the_grey_is_taken_out() -> None:
    assert colours(premultiplied_tiff()) == [[100] * 3, [177] * 3]
    assert colours(premultiplied_tiff(), DROPPED) == [[100] * 3, [99] * 3]


@pytest.mark.parametrize(
    ("bits", "colour_type", "row", "key", "shown"),
    [
        (1, 0, b"\x50", b"\0\1", [0, 255, 0, 255]),
        (2, 0, b"\x1b", b"\0\2", [0, 85, 255, 255]),
        (4, 0, b"\x0f\x70", b"\0\x07", [0, 255, 255, 0]),
        (8, 0, bytes([0, 15, 200, 3]), b"\0\x0f", [0, 255, 200, 3]),
        (16, 0, b"\0\0\x01\x01\x80\x80\xff\xff", b"\x80\x80", [0, 1, 255, 255]),
        (8, 2, bytes([0] * 3 + [9] * 3 + [7] * 6), b"\0\x09" * 3, [0, 255, 7, 7]),
        (16, 2, b"\0\0" * 3 + b"\x80\0" * 3 + b"\x40\0" * 6, b"\x80\0" * 3, [0, 255, 64, 64]),
    ],
)
def test_a_transparent_colour_at_every_depth(
    bits: int, colour_type: int, row: bytes, key: bytes, shown: list[int]
) -> None:
    chunk = pictures.png_chunk(b"tRNS", key)
    data = pictures.raw_png(4, 1, bits, colour_type, b"\0" + row, before=chunk)
    assert [pixel[0] for pixel in colours(data)] == shown
    plain = pictures.raw_png(4, 1, bits, colour_type, b"\0" + row)
    assert colours(data, DROPPED) == colours(plain)


def test_a_text_named_transparency_is_not_one() -> None:
    text = pictures.png_chunk(b"tEXt", b"transparency\0full")
    data = pictures.raw_png(2, 1, 8, 0, b"\0\1\2", before=text)
    assert colours(data) == [[1] * 3, [2] * 3]
    assert probe(data, LIMITS).notes == ()


def test_sixteen_bit_grey_is_scaled_not_saturated() -> None:
    assert [grey for grey, *_ in colours(pictures.sixteen_bit_png())] == [0, 1, 128, 255]
    notes = probe(pictures.sixteen_bit_png(), LIMITS).notes
    assert notes == ("16-bit samples scaled to 8 bits",)
    samples = np.array([[0, 257, 32_896, 65_535]], np.uint16)
    for order in ("<u2", ">u2"):
        image = Image.fromarray(samples.astype(order))
        for packed in (None, "tiff_lzw"):
            data = pictures.encoded(image, "TIFF", compression=packed)
            assert [grey for grey, *_ in colours(data)] == [0, 1, 128, 255]
            assert probe(data, LIMITS).notes == ("16-bit samples scaled to 8 bits",)


def test_sixteen_bit_colour() -> None:
    row = b"\0" + b"".join(value.to_bytes(2) for value in (65_535, 32_896, 0))
    data = pictures.raw_png(1, 1, 16, 2, row)
    assert colours(data) == [[255, 128, 0]]
    assert probe(data, LIMITS).notes == ("16-bit samples scaled to 8 bits",)
    data = pictures.raw_png(1, 1, 16, 6, row + b"\0\0")
    assert colours(data) == [[255, 255, 255]]


def test_sixteen_bit_grey_that_counts_from_white() -> None:
    tags = {256: 2, 257: 1, 258: 16, 259: 1, 262: 0, 273: 8, 277: 1, 278: 1, 279: 4}
    fields = {tag: (3, 1, value) for tag, value in tags.items()}
    assert colours(pictures.raw_tiff(fields, b"\0\0\xff\xff")) == [[255] * 3, [0] * 3]


def test_twelve_bit_grey_fills_the_scale() -> None:
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    fields = {tag: (3, 1, value) for tag, value in tags.items()}
    data = pictures.raw_tiff(fields, b"\xff\xf8\0")
    assert colours(data) == [[255] * 3, [128] * 3]
    assert probe(data, LIMITS).notes == ("12-bit samples scaled to 8 bits",)


@pytest.mark.parametrize("low", [-3.0, 0.0, 1e6])
def test_floating_point_is_scaled_from_lowest_to_highest(low: float) -> None:
    values = np.array([[low, low + 1, low + 2, np.nan, np.inf, -np.inf]], np.float32)
    data = pictures.encoded(Image.fromarray(values), "TIFF")
    assert [grey for grey, *_ in colours(data)] == [0, 128, 255, 0, 255, 0]
    (note,) = probe(data, LIMITS).notes
    assert note == "floating-point samples: lowest to highest scaled to 8 bits"


@pytest.mark.parametrize("value", [0.0, 5.0, np.nan])
def test_floating_point_without_any_range_is_black(value: float) -> None:
    data = pictures.encoded(Image.fromarray(np.full((2, 2), value, np.float32)), "TIFF")
    assert not pixels(data).any()


def test_wide_integers_are_scaled_from_lowest_to_highest() -> None:
    signed = pictures.encoded(Image.fromarray(np.array([[-100, 0, 100]], np.int32)), "TIFF")
    assert [grey for grey, *_ in colours(signed)] == [0, 128, 255]
    tags = {256: 2, 257: 1, 258: 32, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 8}
    fields = {tag: (3, 1, value) for tag, value in tags.items()}
    unsigned = pictures.raw_tiff(fields, b"\0\0\0\0\xff\xff\xff\xff")
    assert [grey for grey, *_ in colours(unsigned)] == [0, 255]


@pytest.mark.parametrize("picture", [pictures.cmyk_jpeg, pictures.ycck_jpeg])
@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 255, 128), (127, 127, 0)),
    ],
)
def test_adobe_inks(
    picture: Callable[[tuple[int, int, int, int]], bytes],
    ink: tuple[int, int, int, int],
    colour: tuple[int, int, int],
) -> None:
    data = picture(ink)
    assert np.abs(np.array(colours(data)[0]) - colour).max() <= 3
    info = probe(data, LIMITS)
    assert (info.mode, info.notes) == ("CMYK", ("CMYK converted without a colour profile",))


@pytest.mark.parametrize(("mode", "image_format"), [("1", "PNG"), ("L", "JPEG"), ("1", "TIFF")])
def test_grey_and_black_and_white(mode: str, image_format: str) -> None:
    data = pictures.encoded(Image.new(mode, (9, 9), 255), image_format)
    assert (pixels(data) == 255).all()
