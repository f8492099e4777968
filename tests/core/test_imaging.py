"""Pictures that must decode, and to exactly which pixels."""

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from opsin.core.contract import Box, Picture
from opsin.core.errors import ConfigurationError, InvalidImage, InvalidInput, TooLarge
from opsin.core.image_opening import open_image
from opsin.core.imaging import (
    CONTENT_TYPES,
    DecodeOptions,
    ImageLimits,
    crop,
    decode,
    encode_jpeg,
    encode_png,
    probe,
)
from tests import pictures

LIMITS = ImageLimits()
USUAL = DecodeOptions()
STORED = DecodeOptions(apply_orientation=False)
DROPPED = DecodeOptions(alpha="drop")

# What a viewer shows of rows stored in each orientation (EXIF 2.32, 4.6.4).
SHOWN: dict[int, Callable[[Picture], npt.NDArray[np.uint8]]] = {
    1: lambda rows: rows,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: np.rot90(rows, -1),
    7: lambda rows: np.rot90(rows, 2).swapaxes(0, 1),
    8: lambda rows: np.rot90(rows, 1),
}


def pixels(data: bytes, options: DecodeOptions = USUAL) -> Picture:
    """Decoded, with everything checked that holds for every picture."""
    decoded = decode(data, LIMITS, options)
    array, info = decoded.pixels, decoded.info
    assert array.dtype == np.uint8 and array.shape == (info.height, info.width, 3)
    assert array.flags.c_contiguous and not array.flags.writeable
    assert probe(data, LIMITS, options) == info
    return array


def colours(data: bytes, options: DecodeOptions = USUAL) -> list[list[int]]:
    """The first row."""
    return [[int(value) for value in pixel] for pixel in pixels(data, options)[0]]


def test_the_portrait_decodes_as_pillow_decodes_it() -> None:
    info = decode(pictures.portrait(), LIMITS).info
    assert (info.format, info.content_type) == ("JPEG", "image/jpeg")
    assert (info.width, info.height, info.mode, info.frames) == (512, 600, "RGB", 1)
    assert info.notes == ()
    assert np.array_equal(
        pixels(pictures.portrait()), np.asarray(Image.open(io.BytesIO(pictures.portrait())))
    )


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG"])
def test_every_allowed_format_keeps_its_pixels(image_format: str) -> None:
    exact = {"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}.get(image_format, {})
    data = pictures.encoded(pictures.quadrants(), image_format, **exact)
    tolerance = 12 if image_format == "JPEG" else 0
    assert np.abs(pixels(data).astype(int) - np.asarray(pictures.quadrants())).max() <= tolerance
    assert probe(data, LIMITS).content_type == CONTENT_TYPES[image_format]


def test_pictures_larger_than_a_strip_are_whole() -> None:
    noise = pictures.noise(700, 801)
    assert np.array_equal(pixels(pictures.encoded(Image.fromarray(noise), "PNG")), noise)
    wide = pictures.noise(29_999, 9)
    assert np.array_equal(pixels(pictures.encoded(Image.fromarray(wide), "BMP")), wide)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF compressed"])
def test_orientation_is_applied_as_browsers_do(image_format: str, orientation: int) -> None:
    stored = pictures.quadrants()
    if image_format == "JPEG":
        data = pictures.rotated_jpeg(orientation)
    elif image_format.startswith("TIFF"):
        packed = "tiff_lzw" if "compressed" in image_format else None
        data = pictures.encoded(stored, "TIFF", tiffinfo={0x0112: orientation}, compression=packed)
    else:
        exact = {"lossless": True} if image_format == "WEBP" else {}
        data = pictures.encoded(stored, image_format, exif=pictures.exif(orientation), **exact)
    shown, rows = SHOWN[orientation](np.asarray(stored)), np.asarray(stored)
    tolerance = 12 if image_format == "JPEG" else 0
    assert np.abs(pixels(data).astype(int) - shown).max() <= tolerance
    assert np.abs(pixels(data, STORED).astype(int) - rows).max() <= tolerance
    info = probe(data, LIMITS)
    assert (info.orientation, info.orientation_applied) == (orientation, True)
    assert (info.height, info.width) == shown.shape[:2]
    info = probe(data, LIMITS, STORED)
    assert (info.orientation, info.orientation_applied) == (orientation, False)
    assert (info.height, info.width) == rows.shape[:2]


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    assert probe(pictures.rotated_jpeg(orientation), LIMITS).orientation == 1


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"not a table at all",
        b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0" * 3,
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x07\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ],
)
def test_broken_exif_is_ignored(block: bytes) -> None:
    stored = pictures.quadrants()
    for image_format in ("JPEG", "PNG", "WEBP"):
        data = pictures.encoded(stored, image_format, exif=b"Exif\0\0" + block)
        info = decode(data, LIMITS).info
        assert (info.orientation, info.width, info.height) == (1, 64, 48)


def test_orientation_outside_the_exif_block_is_ignored_as_browsers_do() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    image = pictures.quadrants()
    late = pictures.raw_png(
        2, 1, 8, 0, b"\0\1\2", after=pictures.png_chunk(b"eXIf", pictures.exif(6)[6:])
    )
    for data in (
        pictures.encoded(image, "JPEG", xmp=xmp),
        pictures.encoded(image, "WEBP", xmp=xmp),
        pictures.encoded(image, "TIFF", tiffinfo={700: xmp}),
        late,
    ):
        info = decode(data, LIMITS).info
        assert info.orientation == 1 and info.width > info.height


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


def test_only_the_first_frame_is_used_and_the_rest_is_noted() -> None:
    first, second = Image.new("RGB", (8, 6), pictures.RED), Image.new("RGB", (8, 6))
    rest = {"save_all": True, "append_images": [second, first]}
    for image_format in ("PNG", "WEBP", "GIF"):
        exact = {"lossless": True} if image_format == "WEBP" else {}
        data = pictures.encoded(first, image_format, **rest, **exact)
        assert colours(data)[0] == list(pictures.RED)
        info = probe(data, LIMITS)
        assert (info.format, info.frames) == (image_format, 3)
        assert info.notes[0] == "animated: 3 frames, the first is used"
    data = pictures.encoded(first, "TIFF", **rest)
    assert colours(data)[0] == list(pictures.RED)
    assert probe(data, LIMITS).notes == ("multi-page: 3 pages, the first is used",)
    assert probe(pictures.animated_gif(12), LIMITS).frames == 12


def test_the_pictures_that_a_camera_adds_to_its_own_are_left_alone() -> None:
    first = pictures.quadrants()
    data = pictures.encoded(first, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert probe(data, LIMITS).format == "JPEG"
    assert pixels(data).shape == (48, 64, 3)


def test_a_file_is_read_where_it_lies_and_stays_open(tmp_path: Path) -> None:
    for name in CONTENT_TYPES:
        data = pictures.encoded(pictures.quadrants(), name)
        path = tmp_path / name
        path.write_bytes(data)
        with path.open("rb") as file:
            file.seek(5)
            assert probe(file, LIMITS) == probe(data, LIMITS)
            assert np.array_equal(decode(file, LIMITS).pixels, pixels(data))
            assert np.array_equal(decode(file, LIMITS).pixels, pixels(data))
            assert not file.closed
    pipe = subprocess.Popen(["cat", str(tmp_path / "PNG")], stdout=subprocess.PIPE)
    with pipe:
        assert pipe.stdout is not None
        assert decode(pipe.stdout, LIMITS).info.format == "PNG"


def test_crop_is_a_view_inside_the_picture() -> None:
    picture = pixels(pictures.noise_jpeg(64, 48))
    part = crop(picture, Box(x_min=10, y_min=20, x_max=30, y_max=25))
    assert part.base is not None and np.shares_memory(part, picture)
    assert np.array_equal(part, picture[20:25, 10:30])
    clipped = crop(picture, Box(x_min=-5, y_min=40, x_max=9, y_max=1_000))
    assert clipped.shape == (8, 9, 3)
    for outside in ((64, 0, 70, 9), (5, 5, 5, 9), (9, 9, 5, 5)):
        names = ("x_min", "y_min", "x_max", "y_max")
        with pytest.raises(InvalidInput):
            crop(picture, Box(**dict(zip(names, outside, strict=True))))


def test_pixels_are_encoded_and_come_back() -> None:
    picture = pixels(pictures.portrait())
    part = crop(picture, Box(x_min=100, y_min=50, x_max=331, y_max=260))
    encoded = encode_png(part)
    assert encoded.startswith(b"\x89PNG") and np.array_equal(pixels(encoded), part)
    for quality in (40, 95):
        jpeg = encode_jpeg(part, quality)
        assert np.abs(pixels(jpeg).astype(int) - part).mean() < 8
    assert len(encode_jpeg(part, 40)) < len(encode_jpeg(part)) < len(encode_jpeg(part, 95))


def test_limits_on_bytes_sides_and_pixels() -> None:
    data = pictures.solid_png(300, 200)
    assert decode(data, replace(LIMITS, max_bytes=len(data), max_side=300)).info.width == 300
    with pytest.raises(TooLarge):
        probe(data, replace(LIMITS, max_bytes=len(data) - 1))
    with pytest.raises(TooLarge):
        probe(io.BytesIO(data), replace(LIMITS, max_bytes=len(data) - 1))
    with pytest.raises(InvalidImage, match="300 x 200: a side may have 299 pixels"):
        probe(data, replace(LIMITS, max_side=299))
    with pytest.raises(InvalidImage, match="300 x 200: an image may have 59,999 pixels"):
        probe(data, replace(LIMITS, max_pixels=59_999))


def test_only_allowed_formats_are_looked_at() -> None:
    only = replace(LIMITS, formats=frozenset({"JPEG", "PNG"}))
    assert probe(pictures.solid_png(), only).format == "PNG"
    with pytest.raises(InvalidImage, match=r"not an image in an allowed format \(JPEG, PNG\)"):
        probe(pictures.animated_gif(), only)
    for image_format in (
        "EPS",
        "ICO",
        "PPM",
        "TGA",
        "ICNS",
        "PCX",
        "PDF",
        "DIB",
        "AVIF",
        "JPEG2000",
    ):
        with pytest.raises(InvalidImage, match="not an image in an allowed format"):
            decode(pictures.encoded(pictures.quadrants(), image_format), LIMITS)


@pytest.mark.parametrize("formats", [frozenset(), frozenset({"EPS"}), frozenset({"PNG", "jpeg"})])
def test_formats_that_cannot_be_allowed(formats: frozenset[str]) -> None:
    with pytest.raises(ConfigurationError, match="must be some of JPEG, PNG"):
        ImageLimits(formats=formats)


def test_limits_above_and_below_pillows_own_on_many_threads() -> None:
    small, large = replace(LIMITS, max_pixels=900), replace(LIMITS, max_pixels=10**9)
    data, barrier = pictures.solid_png(60, 40), threading.Barrier(8)

    def one(number: int) -> bool:
        barrier.wait()
        for _ in range(50):
            if number % 2:
                decode(data, large)
            else:
                with pytest.raises(InvalidImage):
                    decode(data, small)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(8)))
    # Between Pillow's warning and its error, and between that and nothing.
    for side in (11_000, 16_000):
        header = pictures.raw_png(side, side, 1, 0)
        assert probe(header, large).width == side


def test_threads_decoding_at_once_get_their_own_pictures() -> None:
    data = [pictures.noise_jpeg(200, 150, seed) for seed in range(16)]
    data += [pictures.rotated_jpeg(o) for o in range(1, 9)]
    alone = [pixels(each) for each in data]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda each: decode(each, LIMITS).pixels, data * 6))
    for number, picture in enumerate(together):
        assert np.array_equal(picture, alone[number % len(data)])


def test_an_error_of_the_callers_own_passes_through_unchanged() -> None:
    with pytest.raises(InvalidInput), open_image(pictures.solid_png(), LIMITS, STORED):
        raise InvalidInput("the caller's")


def test_importing_it_is_light_and_loads_no_other_decoder() -> None:
    program = (
        "import sys, opsin.core.imaging, opsin.core.thumbnails;"
        "from tests import pictures;"
        "opsin.core.imaging.decode(pictures.solid_png(), opsin.core.imaging.ImageLimits());"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('torch', 'starlette', 'fastapi', 'sqlalchemy', 'strawberry')"
        " or name in ('PIL.EpsImagePlugin', 'PIL.IcoImagePlugin', 'opsin.storage')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
