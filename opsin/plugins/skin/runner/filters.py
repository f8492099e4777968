"""Smoothing, colour and derivatives of small float32 images."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Map = npt.NDArray[np.floating[Any]]
    """height x width."""
    Colours = npt.NDArray[np.floating[Any]]
    """height x width x 3."""
    Mask = npt.NDArray[np.bool_]
    Pixels = npt.NDArray[np.uint8]

_LEVELS = np.arange(256) / 255
LINEAR_OF_SRGB = np.where(
    _LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4
).astype(np.float32)
"""IEC 61966-2-1."""
XYZ_OF_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RELATIVE_XYZ = (XYZ_OF_RGB / XYZ_OF_RGB.sum(axis=1, keepdims=True)).T.astype(np.float32)
LUMINANCE = _RELATIVE_XYZ[:, 1]
KNEE = 6 / 29


def linear(pixels: "Pixels") -> "Colours":
    """Linear sRGB, 0 to 1."""
    return LINEAR_OF_SRGB[pixels]


def _root(ratio: "Map") -> "Map":
    line = ratio / (3 * KNEE**2) + np.float32(4 / 29)
    return np.where(ratio > KNEE**3, np.cbrt(ratio), line)


def lab(light: "Colours") -> "Colours":
    """CIELAB (CIE 15:2018, D65) of linear sRGB."""
    root = _root(light @ _RELATIVE_XYZ)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lightness(light: "Colours") -> "Map":
    """L* alone."""
    return 116 * _root(light @ LUMINANCE) - 16


def gaussian(image: "Map", sigma: float) -> "Map":
    """Smoothed by a Gaussian of `sigma` pixels; the edges are repeated."""
    radius = max(math.ceil(3 * sigma), 1)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (radius, radius)
        padded = np.pad(image, around, mode="edge")
        size = image.shape[axis]
        image = np.zeros_like(image)
        for step, tap in enumerate(taps):
            part = padded[step : step + size] if axis == 0 else padded[:, step : step + size]
            image += tap * part
    return image


def box_mean(image: "Map", radius: int) -> "Map":
    """The mean over squares of 2 `radius` + 1 pixels, of what lies inside the image."""
    height, width = image.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = image.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    rows, columns = np.arange(height), np.arange(width)
    top, bottom = np.maximum(rows - radius, 0), np.minimum(rows + radius + 1, height)
    left, right = np.maximum(columns - radius, 0), np.minimum(columns + radius + 1, width)
    strips = sums[bottom] - sums[top]
    count = (bottom - top)[:, None] * (right - left)
    mean: Map = ((strips[:, right] - strips[:, left]) / count).astype(np.float32)
    return mean


def mean_inside(image: "Map", mask: "Mask", radius: int) -> "Map":
    """The mean over squares of what lies inside the mask; 0 where the square holds none of it."""
    inside = mask.astype(np.float32)
    weight = box_mean(inside, radius)
    return box_mean(image * inside, radius) / np.maximum(weight, 1e-6)


def dilated(mask: "Mask", radius: int) -> "Mask":
    """The pixels whose square of 2 `radius` + 1 pixels holds any of the mask."""
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (radius, radius)
        mask = np.pad(mask, around)
        size, seen = mask.shape[axis], 1
        while seen < 2 * radius + 1:  # each step looks up to twice as far
            step = min(seen, 2 * radius + 1 - seen)
            size, seen = size - step, seen + step
            near = mask[:size] if axis == 0 else mask[:, :size]
            far = mask[step:] if axis == 0 else mask[:, step:]
            mask = near | far
    return mask


def eroded(mask: "Mask", radius: int) -> "Mask":
    """The pixels whose square of 2 `radius` + 1 pixels is all mask, as far as it is an image."""
    return ~dilated(~mask, radius)


def derivatives(image: "Map") -> tuple["Map", "Map", "Map", "Map", "Map"]:
    """First derivatives by x and y, then second by xx, xy and yy: central differences."""
    padded = np.pad(image, 1, mode="edge")
    middle, left, right = padded[1:-1, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    up, down = padded[:-2, 1:-1], padded[2:, 1:-1]
    mixed = (padded[2:, 2:] - padded[2:, :-2] - padded[:-2, 2:] + padded[:-2, :-2]) / 4
    return (
        (right - left) / 2,
        (down - up) / 2,
        right - 2 * middle + left,
        mixed,
        down - 2 * middle + up,
    )
