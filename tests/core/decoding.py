"""Decoding in tests, with everything checked that holds for every picture."""

import numpy as np

from opsin.core.contract import Picture
from opsin.core.imaging import DecodeOptions, ImageLimits, decode, probe

LIMITS = ImageLimits()
USUAL = DecodeOptions()
STORED = DecodeOptions(apply_orientation=False)
DROPPED = DecodeOptions(alpha="drop")


def pixels(data: bytes, options: DecodeOptions = USUAL) -> Picture:
    """The decoded picture."""
    decoded = decode(data, LIMITS, options)
    array, info = decoded.pixels, decoded.info
    assert array.dtype == np.uint8 and array.shape == (info.height, info.width, 3)
    assert array.flags.c_contiguous and not array.flags.writeable
    assert probe(data, LIMITS, options) == info
    return array


def colours(data: bytes, options: DecodeOptions = USUAL) -> list[list[int]]:
    """The first row."""
    return [[int(value) for value in pixel] for pixel in pixels(data, options)[0]]
