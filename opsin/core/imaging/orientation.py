"""Which way up a picture is: EXIF's orientation read as browsers read it, and applied.

Pillow's own reading would add XMP packets and text chunks, which browsers do not look at, parse
every other tag on the way, and warn about each that is broken.
"""

import struct

from PIL import Image

ORIENTATION_TAG = 0x0112

_Turn = Image.Transpose
UPRIGHT = {
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}
AS_STORED = UPRIGHT | {6: _Turn.ROTATE_90, 8: _Turn.ROTATE_270}
"""By orientation, from 2: the turn from stored rows to the upright picture, and the way back."""

SWAPS_SIDES = frozenset({_Turn.TRANSPOSE, _Turn.ROTATE_270, _Turn.TRANSVERSE, _Turn.ROTATE_90})


def exif_orientation(exif: bytes) -> int:
    """EXIF orientation 1..8 of an EXIF block; 1 when it is absent or broken, as in browsers."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "L", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, at)
            if tag == ORIENTATION_TAG and kind in (3, 4):
                (value,) = struct.unpack_from(order + ("H" if kind == 3 else "L"), exif, at + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
