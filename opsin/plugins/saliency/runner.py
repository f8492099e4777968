"""The spectral residual: what a picture's spectrum has beyond its own local mean stands out.

X. Hou, L. Zhang: Saliency detection: a spectral residual approach.  CVPR 2007.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from opsin import Box, Item, Picture, Runner
from opsin.plugins.saliency.plugin import Saliency, SaliencyParams, SaliencyPeak

if TYPE_CHECKING:
    import numpy.typing as npt

    Map = npt.NDArray[np.float64]

WORKING_SIDE = 64
"""Pixels of the longer side on which the map is computed: the scale of the paper."""
SMOOTHING = 2.5
"""Standard deviation in working pixels, as in the authors' published MATLAB code."""
FLOOR = 1e-6
"""Added to an amplitude before its logarithm; far below what 8-bit pixels can tell from zero."""
LONGEST_HEATMAP = 1024
"""Pixels of the longer side of the stored map at most; it holds no more detail than 64 do."""
ALMOST = 1 - 1e-9
"""Sums of the same numbers in another order differ by less than this."""


def working_luma(picture: Picture) -> "Map":
    """Luma (ITU-R BT.601) from 0 to 1 with the longer side at 64 pixels, enlarged if smaller."""
    luma = Image.fromarray(picture).convert("L").convert("F")
    scale = WORKING_SIDE / max(luma.size)
    width, height = (max(round(side * scale), 1) for side in luma.size)
    small = luma.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)
    return np.asarray(small, np.float64) / 255


def spectral_residual(luma: "Map") -> "Map":
    """The unsmoothed map: the squared picture of the spectrum less its mean over 3 x 3 frequencies.

    The spectrum is periodic, so the mean wraps around.  With R = log A - mean(log A), the paper's
    exp(R + i P) is the spectrum itself over exp(mean(log A)); so written, what is zero stays zero.
    """
    spectrum = np.fft.fft2(luma)
    logarithm = np.log(np.abs(spectrum) + FLOOR)
    offsets = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    mean = sum(np.roll(logarithm, offset, (0, 1)) for offset in offsets) / len(offsets)
    residual: Map = np.abs(np.fft.ifft2(spectrum * np.exp(-mean))) ** 2
    return residual


def gaussian(size: int) -> "Map":
    """size x size: the matrix that smooths a column, to any scale; outside the picture is 0."""
    place = np.arange(size)
    weights: Map = np.exp(-((place[:, None] - place) ** 2) / (2 * SMOOTHING**2))
    return weights


def saliency_map(picture: Picture) -> "Map":
    """The map at working size, from 0 to 1; 0 everywhere for a plain picture."""
    luma = working_luma(picture)
    if np.ptp(luma) < 1e-3:  # less than half a level of 255: resampling, not contents
        return np.zeros_like(luma)
    rows, columns = luma.shape
    smoothed: Map = gaussian(rows) @ spectral_residual(luma) @ gaussian(columns)
    smoothed -= smoothed.min()
    peak = smoothed.max()
    return smoothed / peak if peak > 0 else smoothed


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of a map; the ends are exclusive."""

    top: int
    left: int
    bottom: int
    right: int


def smallest_window(saliency: "Map", share: float) -> Window:
    """The window of the smallest area that holds `share` of the map's sum.

    Of equal areas the one that holds most, then the uppermost, then the leftmost.
    """
    rows, columns = saliency.shape
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = saliency.cumsum(axis=0).cumsum(axis=1)
    needed = share * sums[-1, -1] * ALMOST
    best, best_key = Window(0, 0, rows, columns), (rows * columns, -math.inf)
    width = columns
    # A higher window needs no more width: one way down the staircase of heights and widths.
    for height in range(1, rows + 1):
        strips = sums[height:] - sums[:-height]
        while width > 0:
            held = strips[:, width:] - strips[:, :-width]
            top, left = (int(n) for n in np.unravel_index(int(held.argmax()), held.shape))
            if held[top, left] < needed:
                break
            key = (height * width, -float(held[top, left]))
            if key < best_key:
                best, best_key = Window(top, left, top + height, left + width), key
            width -= 1
    return best


def entropy(saliency: "Map") -> float:
    """Shannon's entropy of the map as a distribution, over that of an even one of its size."""
    share = saliency[saliency > 0] / saliency.sum()
    if len(share) == 1:
        return 0.0
    return float(-(share * np.log(share)).sum()) / math.log(saliency.size)


def heatmap_png(saliency: "Map", width: int, height: int) -> bytes:
    """The map as an 8-bit grey PNG of the region's size, its longer side at most 1024 pixels."""
    scale = min(LONGEST_HEATMAP / max(width, height), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    grey = Image.fromarray(saliency.astype(np.float32) * np.float32(255))
    levels = np.asarray(grey.resize(size, Image.Resampling.BICUBIC))
    encoded = io.BytesIO()
    image = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    # The next level of compression takes three times as long for a file a few percent smaller.
    image.save(encoded, "PNG", compress_level=3)
    return encoded.getvalue()


def find_saliency(item: Item[SaliencyParams]) -> Saliency:
    """Map, peak, box and entropy of an item; positions are moved to where its region lies."""
    height, width = item.picture.shape[:2]
    found = saliency_map(item.picture)
    heatmap = heatmap_png(found, width, height)
    if not found.any():
        return Saliency().with_heatmap(heatmap)
    rows, columns = found.shape
    down, right = height / rows, width / columns
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    window = smallest_window(found, item.params.focus_share)
    box = Box(
        x_min=math.floor(window.left * right),
        y_min=math.floor(window.top * down),
        x_max=math.ceil(window.right * right),
        y_max=math.ceil(window.bottom * down),
    ).clipped(width, height)
    x_min, y_min = (item.region.box.x_min, item.region.box.y_min) if item.region else (0, 0)
    return Saliency(
        peak=SaliencyPeak(
            x=x_min + int((int(column) + 0.5) * right), y=y_min + int((int(row) + 0.5) * down)
        ),
        focus_box=box.moved(x_min, y_min),
        entropy=entropy(found),
    ).with_heatmap(heatmap)


class SaliencyRunner(Runner[SaliencyParams, Saliency]):
    """Finds while preparing, on several threads; the batch only hands the results on."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[SaliencyParams]) -> Saliency:
        return find_saliency(item)

    def run(self, batch: Sequence[Saliency]) -> Sequence[Saliency]:
        return batch
