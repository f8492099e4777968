"""Pictures that must decode, within limits, on many threads; crops and encodings."""

import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opsin.core.contract import Box
from opsin.core.errors import ConfigurationError, InvalidImage, InvalidInput, TooLarge
from opsin.core.imaging import (
    CONTENT_TYPES,
    ImageLimits,
    crop,
    decode,
    encode_jpeg,
    encode_png,
    probe,
)
from opsin.core.imaging.opening import open_image
from tests import pictures
from tests.core.decoding import LIMITS, STORED, colours, pixels


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
    exact: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}
    data = pictures.encoded(pictures.quadrants(), image_format, **exact.get(image_format, {}))
    tolerance = 12 if image_format == "JPEG" else 0
    assert np.abs(pixels(data).astype(int) - np.asarray(pictures.quadrants())).max() <= tolerance
    assert probe(data, LIMITS).content_type == CONTENT_TYPES[image_format]


def test_pictures_larger_than_a_strip_are_whole() -> None:
    noise = pictures.noise(700, 801)
    assert np.array_equal(pixels(pictures.encoded(Image.fromarray(noise), "PNG")), noise)
    wide = pictures.noise(29_999, 9)
    assert np.array_equal(pixels(pictures.encoded(Image.fromarray(wide), "BMP")), wide)


def test_only_the_first_frame_is_used_and_the_rest_is_noted() -> None:
    first, second = Image.new("RGB", (8, 6), pictures.RED), Image.new("RGB", (8, 6))
    rest: dict[str, Any] = {"save_all": True, "append_images": [second, first]}
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
    for x_min, y_min, x_max, y_max in ((64, 0, 70, 9), (5, 5, 5, 9), (9, 9, 5, 5)):
        with pytest.raises(InvalidInput):
            crop(picture, Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max))


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
