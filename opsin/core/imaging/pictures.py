"""Pictures in and out: bytes to RGB pixels within limits, or a refusal; pixels to bytes."""

import io
from dataclasses import dataclass

from PIL import Image

from opsin.core.contract import Box, Picture
from opsin.core.errors import InvalidInput
from opsin.core.imaging.opening import (
    DecodeOptions,
    ImageInfo,
    ImageLimits,
    Source,
    open_image,
)
from opsin.core.imaging.samples import rgb_pixels

_DEFAULT = DecodeOptions()


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """Read-only RGB pixels (height x width x 3, uint8, contiguous) and where they came from."""

    pixels: Picture
    info: ImageInfo


def probe(source: Source, limits: ImageLimits, options: DecodeOptions = _DEFAULT) -> ImageInfo:
    """Read the header only; raises InvalidImage or TooLarge.  Equal to `decode(...).info`."""
    with open_image(source, limits, options) as opened:
        return opened.info


def decode(source: Source, limits: ImageLimits, options: DecodeOptions = _DEFAULT) -> DecodedImage:
    """Decode the first frame; raises InvalidImage or TooLarge and nothing else.

    Safe on many threads at once; the decoders release the interpreter's lock.
    """
    with open_image(source, limits, options) as opened:
        image = opened.turned(opened.load())
        return DecodedImage(rgb_pixels(image, opened.samples), opened.info)


def crop(pixels: Picture, box: Box) -> Picture:
    """The part of `pixels` inside `box`, as a view; raises InvalidInput when they do not meet."""
    height, width = pixels.shape[:2]
    inside = box.clipped(width, height)
    if inside.is_empty:
        raise InvalidInput("the box does not meet the picture")
    return pixels[inside.y_min : inside.y_max, inside.x_min : inside.x_max]


def encode_png(pixels: Picture, compression: int = 6) -> bytes:
    """An 8-bit RGB PNG; `compression` 0..9, of which 1 takes a fraction of the time of 6."""
    return _encode(pixels, "PNG", compress_level=compression)


def encode_jpeg(pixels: Picture, quality: int = 85) -> bytes:
    """A baseline JPEG; `quality` 1..95."""
    return _encode(pixels, "JPEG", quality=quality)


def _encode(pixels: Picture, image_format: str, **parameters: int) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, image_format, **parameters)
    return encoded.getvalue()
