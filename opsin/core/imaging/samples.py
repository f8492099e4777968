"""From the samples a picture stores (16-bit, float, CMYK, palette, alpha) to 8-bit RGB pixels."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from opsin.core.contract import Picture

AlphaMode = Literal["white", "drop"]
"""Transparent pictures are composited over white, or lose their alpha (hidden colours surface)."""

_STRIP_PIXELS = 2**18
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_FULL_SCALE_16 = np.round(np.arange(65_536) / 257).astype(np.uint8)
_FULL_SCALE_12 = np.round(np.arange(65_536).clip(max=4_095) / (4_095 / 255)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Samples:
    """How a picture's samples are stored, as far as its header tells (before it is loaded)."""

    mode: str
    alpha: AlphaMode
    transparency: Any
    scale: npt.NDArray[np.uint8] | None
    white_is_zero: bool
    unsigned: bool
    notes: tuple[str, ...]

    @property
    def has_alpha(self) -> bool:
        return self.mode in _ALPHA_MODES or self.transparency is not None


def describe(image: Image.Image, alpha: AlphaMode) -> Samples:
    """Read the header of an opened picture; call it before `load`, which forgets raw modes."""
    mode = image.mode
    raw = _raw_mode(image)
    tags: Any = getattr(image, "tag_v2", {})
    deep = mode.startswith("I;16")
    twelve = tags.get(258) == (12,)
    # BMP's "BGR;16" packs a whole pixel into 16 bits.
    sixteen = ";16" in raw and mode != "I" and not raw.startswith("BGR")
    transparency = _transparency(image.info.get("transparency"), raw)
    has_alpha = mode in _ALPHA_MODES or transparency is not None
    notes = (
        (deep and twelve, "12-bit samples scaled to 8 bits"),
        (sixteen and not twelve, "16-bit samples scaled to 8 bits"),
        (mode == "I", "integer samples: lowest to highest scaled to 8 bits"),
        (mode == "F", "floating-point samples: lowest to highest scaled to 8 bits"),
        (mode == "CMYK", "CMYK converted without a colour profile"),
        (mode == "LAB", "Lab converted without a colour profile"),
        (has_alpha and alpha == "white", "transparency composited over white"),
        (has_alpha and alpha == "drop", "transparency dropped"),
    )
    return Samples(
        mode=mode,
        alpha=alpha,
        transparency=transparency,
        scale=(_FULL_SCALE_12 if twelve else _FULL_SCALE_16) if deep else None,
        white_is_zero=tags.get(262) == 0 and (deep or mode == "F"),
        unsigned=tags.get(339, (1,))[:1] == (1,),
        notes=tuple(text for holds, text in notes if holds),
    )


def _raw_mode(image: Image.Image) -> str:
    """How the file packs its samples, in Pillow's words; empty where a plugin does not tell."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    if isinstance(arguments, tuple):
        arguments = arguments[0] if arguments else ""
    return arguments if isinstance(arguments, str) else ""


def _transparency(key: Any, raw: str) -> Any:
    """The transparent colour in the scale of the loaded samples, which Pillow leaves as stored."""
    if isinstance(key, int):
        return key * {"L;2": 85, "L;4": 17}.get(raw, 1)
    if isinstance(key, tuple) and raw == "RGB;16B":
        return tuple(value >> 8 for value in key)
    # A text chunk of a PNG can come under this name, too.
    return key if isinstance(key, bytes | tuple) else None


def rgb_pixels(image: Image.Image, samples: Samples) -> Picture:
    """Pixels of a loaded picture as a fresh read-only array.

    Works in strips that stay in the processor's cache: `np.asarray` of a whole picture makes two
    copies of it, and takes about four times as long.
    """
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    # Strips would copy it each time, and converting would look at its transparent colour.
    image.info = {}
    span = _value_span(image, samples) if samples.mode in ("I", "F") else (0.0, 0.0)
    for top, bottom in _strips(image):
        strip = image.crop((0, top, width, bottom))
        if samples.scale is not None or samples.mode in ("I", "F"):
            pixels[top:bottom] = _grey(strip, samples, span)[..., np.newaxis]
        else:
            pixels[top:bottom] = np.asarray(opaque(strip, samples))
    pixels.flags.writeable = False
    return pixels


def opaque(image: Image.Image, samples: Samples) -> Image.Image:
    """An 8-bit picture as RGB."""
    if not samples.has_alpha:
        return image if image.mode == "RGB" else image.convert("RGB")
    if samples.alpha == "drop" and image.mode not in ("La", "RGBa"):
        return image.convert("RGB")
    layered = with_alpha(image, samples)
    if samples.alpha == "drop" or layered.getchannel("A").getextrema() == (255, 255):
        return layered.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(layered, mask=layered)
    return white


def with_alpha(image: Image.Image, samples: Samples) -> Image.Image:
    """An 8-bit picture as RGBA, its transparent colour included."""
    if image.mode == "RGBA":
        return image
    if samples.transparency is not None:
        image.info["transparency"] = samples.transparency
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _strips(image: Image.Image) -> list[tuple[int, int]]:
    width, height = image.size
    rows = max(_STRIP_PIXELS // width, 1)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]


def _numbers(strip: Image.Image, samples: Samples) -> npt.NDArray[Any]:
    numbers = np.asarray(strip)
    # Pillow keeps unsigned 32-bit samples in a signed array.
    return numbers.view(np.uint32) if samples.mode == "I" and samples.unsigned else numbers


def _value_span(image: Image.Image, samples: Samples) -> tuple[float, float]:
    """Lowest and highest finite sample; (0, 0) when there is none."""
    low, high = np.inf, -np.inf
    for top, bottom in _strips(image):
        numbers = _numbers(image.crop((0, top, image.width, bottom)), samples)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _grey(strip: Image.Image, samples: Samples, span: tuple[float, float]) -> Picture:
    numbers = _numbers(strip, samples)
    if samples.scale is not None:
        grey: Picture = samples.scale[numbers]
    else:
        low, high = span
        # What is not a number is shown black.
        shares = np.nan_to_num((numbers.astype(np.float64) - low) / ((high - low) or 1.0))
        grey = np.round(shares.clip(0, 1) * 255).astype(np.uint8)
    if samples.white_is_zero:
        grey = 255 - grey
    if isinstance(samples.transparency, int) and samples.alpha == "white":
        grey[numbers == samples.transparency] = 255
    return grey
