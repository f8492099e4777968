"""Samples as cameras give them, without a file around them: to RGB pixels, within limits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from opsin.core.contract import Picture
from opsin.core.errors import InvalidImage
from opsin.core.imaging.opening import ImageInfo, ImageLimits, check_size
from opsin.core.imaging.pictures import DecodedImage

if TYPE_CHECKING:
    import numpy.typing as npt

    Samples: TypeAlias = bytes | bytearray | memoryview
    Rows: TypeAlias = npt.NDArray[np.uint8]
    ReadRows: TypeAlias = Callable[[int, int], Rows]
    Plane: TypeAlias = npt.NDArray[np.integer[Any]]

RAW_FORMAT = "RAW"

_BYTES_AT_ONCE = 2**18
"""What stays in the processor's cache while its channels are taken apart."""
_BYTES_A_BAND = 2**20
_MOST_BANDS = 4
# Made when there is a first large picture; copying lets go of the interpreter's lock.
_threads = ThreadPoolExecutor(_MOST_BANDS - 1, thread_name_prefix="opsin-samples")


class SampleLayout(StrEnum):
    """What the bytes of a pixel are, row after row; 8 bits a sample."""

    BGR = "BGR"
    BGRA = "BGRA"
    """Its alpha is dropped."""
    GREY = "GREY"
    BAYER_RGGB = "BAYER_RGGB"
    """One sample a pixel behind a mosaic of filters: red at the upper left corner, blue at (1, 1).

    OpenCV names the same mosaic after its second row: BayerBG.
    """

    @property
    def channels(self) -> int:
        """Bytes of a pixel."""
        return {"BGR": 3, "BGRA": 4}.get(self.value, 1)


def decode_samples(
    samples: "Samples",
    width: int,
    height: int,
    layout: SampleLayout,
    limits: ImageLimits,
    *,
    row_bytes: int | None = None,
) -> DecodedImage:
    """The picture as a copy of its own; raises InvalidImage.

    `row_bytes` is from one row to the next, where rows are padded.  What follows the last row is
    not looked at.
    """
    used = width * layout.channels
    stride = used if row_bytes is None else row_bytes
    if stride < used:
        raise InvalidImage(f"a row takes {used:,} bytes, not {stride:,}")
    given = memoryview(samples).nbytes
    if given < stride * height:
        raise InvalidImage(
            f"{width} x {height} {layout.value} takes {stride * height:,} bytes, not {given:,}"
        )

    def read(top: int, bottom: int) -> "Rows":
        size = (bottom - top) * stride
        return np.frombuffer(samples, np.uint8, size, top * stride).reshape(-1, stride)

    return decode_rows(read, width, height, layout, limits)


def decode_rows(
    read: "ReadRows", width: int, height: int, layout: SampleLayout, limits: ImageLimits
) -> DecodedImage:
    """The same of rows that are read one part after the other, by several threads.

    `read` gives the bytes of the rows from `top` to `bottom` (exclusive), padding included.
    """
    if min(width, height) < 1:
        raise InvalidImage(f"{width} x {height}: a side has one pixel at least")
    check_size((width, height), limits)
    if layout is SampleLayout.BAYER_RGGB:
        pixels = _demosaiced(read(0, height)[:, :width])
    else:
        pixels = _rgb(read, width, height, layout)
    pixels.flags.writeable = False
    info = ImageInfo(
        format=RAW_FORMAT,
        content_type="application/octet-stream",
        width=width,
        height=height,
        mode=layout.value,
        frames=1,
        orientation=1,
        orientation_applied=False,
        notes=("transparency dropped",) if layout is SampleLayout.BGRA else (),
    )
    return DecodedImage(pixels, info)


def _rgb(read: "ReadRows", width: int, height: int, layout: SampleLayout) -> Picture:
    pixels: Picture = np.empty((height, width, 3), np.uint8)
    used = width * layout.channels
    order = {0: 0, 1: 0, 2: 0} if layout is SampleLayout.GREY else {0: 2, 1: 1, 2: 0}
    is_swapped = layout is SampleLayout.BGR
    if is_swapped:
        del order[1]  # green is where it was
    step = max(_BYTES_AT_ONCE // used, 1)

    def fill(first: int, last: int) -> None:
        for top in range(first, last, step):
            bottom = min(top + step, last)
            given = read(top, bottom)[:, :used].reshape(-1, width, layout.channels)
            if is_swapped:
                pixels[top:bottom] = given
            # A channel at a time takes a quarter of the time of reversing the last axis.
            for channel, source in order.items():
                pixels[top:bottom, :, channel] = given[..., source]

    mine, *others = _bands(height, pixels.nbytes)
    under_way = [_threads.submit(fill, *band) for band in others]
    try:
        fill(*mine)
    finally:
        wait(under_way)  # whatever they read from is the caller's, who may close it
    for band in under_way:
        band.result()
    return pixels


def _bands(height: int, size: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of as many parts as it is worth to have threads for."""
    count = max(min(size // _BYTES_A_BAND, _MOST_BANDS, height), 1)
    return list(pairwise(height * number // count for number in range(count + 1)))


def _demosaiced(mosaic: "Rows") -> Picture:
    """Bilinear: each missing sample is the rounded mean of its two or four nearest.

    Inside, it is OpenCV's to the last bit; at the edges the mosaic goes on mirrored, where OpenCV
    repeats the row or column beside them.
    """
    height, width = mosaic.shape
    odd_rows, odd_columns = height % 2, width % 2
    # Even sides, and a frame of one pixel; a mirror keeps every colour at its place.
    frame = ((1, 1 + odd_rows), (1, 1 + odd_columns))
    mode: Any = "reflect" if min(height, width) > 1 else "edge"
    framed = np.pad(mosaic, frame, mode=mode).astype(np.uint16)
    pixels: Picture = np.empty((height + odd_rows, width + odd_columns, 3), np.uint8)
    for row in range(2):
        for column in range(2):
            place = _Place(framed, row, column)
            part = pixels[row::2, column::2]
            if row == column:  # red in the first row, blue in the second
                part[..., 2 * row] = place.own
                part[..., 1] = place.cross
                part[..., 2 - 2 * row] = place.diagonal
            else:  # green: beside it is red in the first row, blue in the second
                part[..., 2 * row] = place.beside
                part[..., 1] = place.own
                part[..., 2 - 2 * row] = place.above_and_below
    return np.ascontiguousarray(pixels[:height, :width])


class _Place:
    """One of the mosaic's four places in all its repetitions, and the means around it."""

    def __init__(self, framed: "Plane", row: int, column: int) -> None:
        self._framed = framed
        self._top, self._left = row + 1, column + 1

    @property
    def own(self) -> "Plane":
        return self._moved(0, 0)

    @property
    def beside(self) -> "Plane":
        return (self._moved(0, -1) + self._moved(0, 1) + 1) >> 1

    @property
    def above_and_below(self) -> "Plane":
        return (self._moved(-1, 0) + self._moved(1, 0) + 1) >> 1

    @property
    def cross(self) -> "Plane":
        vertical = self._moved(-1, 0) + self._moved(1, 0)
        return (vertical + self._moved(0, -1) + self._moved(0, 1) + 2) >> 2

    @property
    def diagonal(self) -> "Plane":
        above = self._moved(-1, -1) + self._moved(-1, 1)
        return (above + self._moved(1, -1) + self._moved(1, 1) + 2) >> 2

    def _moved(self, down: int, right: int) -> "Plane":
        top, left = self._top + down, self._left + right
        rows, columns = (side - 2 for side in self._framed.shape)
        return self._framed[top : top + rows - 1 : 2, left : left + columns - 1 : 2]
