"""Which way up: EXIF's eight orientations in every format, as browsers apply them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from opsin.core.contract import Picture
from opsin.core.imaging import decode, probe
from tests import pictures
from tests.core.decoding import LIMITS, STORED, pixels

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
