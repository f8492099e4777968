"""Pictures: encoded ones of every format, EXIF blocks, and a camera's raw samples."""

import contextlib
import struct
from collections.abc import Sequence

from fuzz.target import Target, check
from opsin.core.errors import InvalidImage, TooLarge
from opsin.core.imaging import (
    DecodeOptions,
    ImageLimits,
    SampleLayout,
    decode,
    decode_samples,
    probe,
)
from opsin.core.imaging.orientation import exif_orientation
from opsin.core.thumbnails import thumbnail
from tests import pictures

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1_000_000)
_OPTIONS = (DecodeOptions(), DecodeOptions(apply_orientation=False, alpha="drop"))
_LAYOUTS = tuple(SampleLayout)
_LONGEST_MESSAGE = 120


def encoded(data: bytes) -> None:
    """It decodes as its header says, or is refused in words of ours."""
    for options in _OPTIONS:
        try:
            info = probe(data, LIMITS, options)
            decoded = decode(data, LIMITS, options)
        except (InvalidImage, TooLarge) as refusal:
            check(0 < len(refusal.message) < _LONGEST_MESSAGE, "a message of the usual length")
            check("0x" not in refusal.message and "/" not in refusal.message, "no addresses")
        else:
            check(decoded.info == info, "the header tells what decoding gives")
            check(decoded.pixels.shape == (info.height, info.width, 3), "all pixels are there")
    with contextlib.suppress(InvalidImage, TooLarge):
        thumbnail(data, LIMITS, 8, 8)


def exif(data: bytes) -> None:
    check(1 <= exif_orientation(data) <= 8, "an orientation of EXIF's")


def raw(data: bytes) -> None:
    """Sides, padding and layout are the caller's own numbers."""
    if len(data) < 13:
        return
    width, height, row_bytes = struct.unpack("<iiI", data[:12])
    layout = _LAYOUTS[data[12] % len(_LAYOUTS)]
    padded = None if data[12] & 0x80 else row_bytes
    with contextlib.suppress(InvalidImage):
        decoded = decode_samples(data[13:], width, height, layout, LIMITS, row_bytes=padded)
        check(decoded.pixels.shape == (height, width, 3), "the sides that were asked for")


def _raw_seeds() -> Sequence[bytes]:
    return [
        struct.pack("<iiIB", 4, 2, 4 * layout.channels + 1, number) + bytes(40)
        for number, layout in enumerate(_LAYOUTS)
    ]


TARGETS = (
    Target("pictures", encoded, pictures.of_every_kind),
    Target("exif", exif, lambda: [pictures.exif(6), pictures.exif(6)[6:]]),
    Target("raw_samples", raw, _raw_seeds),
)
