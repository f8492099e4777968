"""Raw samples become the pixels that OpenCV makes of them, within limits."""

import cv2
import numpy as np
import pytest

from opsin.core.errors import InvalidImage
from opsin.core.imaging import ImageLimits, SampleLayout, decode_samples
from tests.pictures import noise

LIMITS = ImageLimits(max_pixels=3_000_000, max_side=4_000)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (61, 40), (1920, 1024)])
@pytest.mark.parametrize("padding", [0, 5])
def test_channels_in_every_order(size: tuple[int, int], padding: int) -> None:
    width, height = size
    rgb = noise(width, height)
    alpha = noise(width, height, 1)[..., :1]
    given = {
        SampleLayout.BGR: rgb[..., ::-1],
        SampleLayout.BGRA: np.dstack([rgb[..., ::-1], alpha]),
        SampleLayout.GREY: rgb[..., :1],
    }
    for layout, pixels in given.items():
        rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)), constant_values=9)
        stride = width * layout.channels + padding
        made = decode_samples(rows.tobytes(), *size, layout, LIMITS, row_bytes=stride)
        expected = np.repeat(rgb[..., :1], 3, axis=2) if layout is SampleLayout.GREY else rgb
        assert (made.pixels == expected).all()
        assert made.pixels.flags.c_contiguous and not made.pixels.flags.writeable
        assert (made.info.width, made.info.height, made.info.mode) == (*size, layout)
        assert made.info.notes == (("transparency dropped",) if layout == "BGRA" else ())


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (6, 11), (101, 77), (640, 480)])
def test_bayer_is_that_of_opencv_inside(size: tuple[int, int]) -> None:
    mosaic = np.ascontiguousarray(noise(*size)[..., 0])
    made = decode_samples(mosaic.tobytes(), *size, SampleLayout.BAYER_RGGB, LIMITS).pixels
    expected = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)
    assert (made[1:-1, 1:-1] == expected[1:-1, 1:-1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 2), (3, 3), (7, 4)])
def test_bayer_of_one_colour_has_it_to_the_edges(size: tuple[int, int]) -> None:
    grey = np.full(size[::-1], 90, np.uint8)
    made = decode_samples(grey.tobytes(), *size, SampleLayout.BAYER_RGGB, LIMITS).pixels
    assert made.shape == (size[1], size[0], 3) and (made == 90).all()


def test_bayer_of_pure_red_is_red_to_the_edges() -> None:
    mosaic = np.zeros((8, 10), np.uint8)
    mosaic[::2, ::2] = 255
    made = decode_samples(mosaic.tobytes(), 10, 8, SampleLayout.BAYER_RGGB, LIMITS).pixels
    assert (made == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("size", "count", "row_bytes", "says"),
    [
        ((4, 3), 35, None, "takes 36 bytes, not 35"),
        ((4, 3), 40, 14, "takes 42 bytes, not 40"),
        ((0, 3), 0, None, "one pixel at least"),
        ((4, -3), 36, None, "one pixel at least"),
        ((4_001, 1), 12_003, None, "a side may have"),
        ((2_000, 2_000), 12_000_000, None, "an image may have"),
        ((4, 3), 100, 11, "a row takes 12 bytes"),
    ],
)
def test_samples_that_are_no_picture(
    size: tuple[int, int], count: int, row_bytes: int | None, says: str
) -> None:
    with pytest.raises(InvalidImage, match=says):
        decode_samples(bytes(count), *size, SampleLayout.BGR, LIMITS, row_bytes=row_bytes)


def test_what_follows_the_last_row_is_not_looked_at() -> None:
    body = noise(4, 3)[..., ::-1].tobytes()
    made = decode_samples(body + b"more", 4, 3, SampleLayout.BGR, LIMITS)
    assert (made.pixels == noise(4, 3)).all()
