"""Raw frames: what their bytes are is told by how many there are."""

from typing import TYPE_CHECKING

from opsin.compat.pekat.parameters import Parameters
from opsin.compat.pekat.shared_memory import attached
from opsin.core.errors import InvalidImage
from opsin.core.imaging import (
    DecodedImage,
    ImageLimits,
    SampleLayout,
    decode_rows,
    decode_samples,
)

if TYPE_CHECKING:
    from opsin.core.imaging.raw_samples import Rows

_PAGE = 2**16
"""The largest page to which a system rounds the size of shared memory up."""


def decode_frame(body: bytes, parameters: Parameters, limits: ImageLimits) -> DecodedImage:
    """The body of a request; raises InvalidInput for a size that no layout has."""
    width, height = parameters.side("width"), parameters.side("height")
    layout, row_bytes = _layout(len(body), width, height, is_bayer=parameters.is_on("bayer"))
    return decode_samples(body, width, height, layout, limits, row_bytes=row_bytes)


def decode_shared_frame(parameters: Parameters, limits: ImageLimits) -> DecodedImage:
    """As `decode_frame`, of shared memory, which may have been rounded up to whole pages."""
    width, height = parameters.side("width"), parameters.side("height")
    is_bayer = parameters.is_on("bayer")
    with attached(parameters.get("name")) as memory:
        size = _used(memory.size, width, height)
        layout, row_bytes = _layout(size, width, height, is_bayer=is_bayer)

        def read(top: int, bottom: int) -> "Rows":
            rows = memory.read(top * row_bytes, (bottom - top) * row_bytes)
            return rows.reshape(-1, row_bytes)

        return decode_rows(read, width, height, layout, limits)


def _used(size: int, width: int, height: int) -> int:
    """The bytes that a picture takes of so many, of which the last page may not be full."""
    if not _is_exact(size, width, height):
        for layout in (SampleLayout.BGR, SampleLayout.BGRA, SampleLayout.GREY):
            used = width * height * layout.channels
            if used < size < used + _PAGE:
                return used
    return size


def _is_exact(size: int, width: int, height: int) -> bool:
    return any(size == row_bytes * height for _, row_bytes in _layouts(width))


def _layouts(width: int) -> tuple[tuple[SampleLayout, int], ...]:
    """Each layout and the bytes from one row to the next, in the order in which they are tried."""
    return (
        (SampleLayout.BGR, 3 * width),
        (SampleLayout.GREY, width),
        (SampleLayout.BGR, -(-3 * width // 4) * 4),  # rows begin at a multiple of 4
        (SampleLayout.BGRA, 4 * width),
    )


def _layout(size: int, width: int, height: int, *, is_bayer: bool) -> tuple[SampleLayout, int]:
    """The layout of so many bytes; raises InvalidImage."""
    if is_bayer:
        if size != width * height:
            raise InvalidImage(
                f"a Bayer frame of {width} x {height} has {width * height:,} bytes, not {size:,}"
            )
        return SampleLayout.BAYER_RGGB, width
    for layout, row_bytes in _layouts(width):
        if size == row_bytes * height:
            return layout, row_bytes
    raise _mismatch(size, width, height)


def _mismatch(size: int, width: int, height: int) -> InvalidImage:
    pixels = width * height
    return InvalidImage(
        f"a frame of {width} x {height} has {3 * pixels:,} bytes (BGR), {pixels:,} (grey) or "
        f"{4 * pixels:,} (BGRA), not {size:,}"
    )
