"""Small pictures for lists and previews: fitted into a box, upright, never enlarged."""

import io
from typing import Any

from PIL import Image

from opsin.core.errors import InvalidInput
from opsin.core.imaging.opening import DecodeOptions, ImageLimits, OpenedImage, Source, open_image
from opsin.core.imaging.samples import opaque, rgb_pixels, with_alpha

_KEPT_FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
}
_MAX_PROFILE_BYTES = 4_096


def thumbnail(
    source: Source,
    limits: ImageLimits,
    width: int,
    height: int,
    *,
    quality: int = 85,
    keep_format: bool = False,
    always_jpeg: bool = False,
) -> tuple[bytes, str]:
    """Encoded picture and content type, of at most `width` x `height` pixels, ratio kept.

    JPEG, or PNG when parts of it are transparent and not `always_jpeg`; the source's own format
    with `keep_format`, where that is JPEG, PNG, WebP or GIF.  Raises InvalidImage, TooLarge, or
    InvalidInput for a box without pixels.
    """
    if width < 1 or height < 1:
        raise InvalidInput("a thumbnail needs a width and a height of 1 or more")
    with open_image(source, limits, DecodeOptions()) as opened:
        fitted = _fit(opened, width, height)
        profile = opened.image.info.get("icc_profile")
        small = opened.turned(_resized(opened, fitted))
        image_format = "JPEG" if always_jpeg else _format(opened, small, keep_format)
        if small.mode == "RGBA" and image_format == "JPEG":
            small = opaque(small, opened.samples)
        # Pillow would write the source's comment back from here.
        small.info = {}
        parameters: dict[str, Any] = {}
        if image_format in ("JPEG", "WEBP"):
            parameters["quality"] = quality
        # A wide-gamut picture looks dull without its profile; one made for other inks is no use.
        coloured = opened.samples.mode in ("RGB", "RGBA", "P") and image_format != "GIF"
        if coloured and isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE_BYTES:
            parameters["icc_profile"] = profile
        encoded = io.BytesIO()
        small.save(encoded, image_format, **parameters)
    return encoded.getvalue(), _KEPT_FORMATS[image_format]


def _fit(opened: OpenedImage, width: int, height: int) -> tuple[int, int]:
    """The thumbnail's size with the sides as the file stores them."""
    info = opened.info
    scale = min(width / info.width, height / info.height, 1.0)
    fitted = (max(round(info.width * scale), 1), max(round(info.height * scale), 1))
    return opened.sides(fitted)


def _resized(opened: OpenedImage, size: tuple[int, int]) -> Image.Image:
    """RGB, or RGBA when the picture has transparency; not upright yet."""
    if opened.info.format == "JPEG":
        # The decoder can leave out the detail that would be averaged away.
        opened.image.draft(None, (2 * size[0], 2 * size[1]))
    image = opened.load()
    samples = opened.samples
    if samples.scale is not None or samples.mode in ("I", "F"):
        image = Image.fromarray(rgb_pixels(image, samples))
    elif samples.has_alpha:
        image = with_alpha(image, samples)
    else:
        image = opaque(image, samples)
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _format(opened: OpenedImage, small: Image.Image, keep: bool) -> str:
    if keep and opened.info.format in _KEPT_FORMATS:
        return opened.info.format
    transparent = small.mode == "RGBA" and small.getchannel("A").getextrema() != (255, 255)
    return "PNG" if transparent else "JPEG"
