"""The measures of image quality, each as its source defines it.

Luma is that of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B of the sRGB samples), rounded to 8 bits.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from opsin import Item, Picture, Runner
from opsin.plugins.quality.plugin import ImageQuality, ImageQualityParams

if TYPE_CHECKING:
    import numpy.typing as npt

    Luma = npt.NDArray[np.uint8]

WORKING_SIDE = 512
"""Pixels of the longer side at which sharpness and colourfulness are measured."""
ROWS_AT_ONCE = 64
"""Of a large picture when its noise is estimated: what stays in the processor's cache."""


def at_working_size(image: Image.Image) -> Image.Image:
    """The picture with its longer side at `WORKING_SIDE`, enlarged when it is smaller.

    So what is measured is the detail across the frame: a picture measures the same at twice the
    resolution, and a thumbnail less sharp than its original.
    """
    scale = WORKING_SIDE / max(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3)


def sharpness(luma: "Luma") -> float:
    """Variance of the Laplacian (4 neighbours, edges mirrored) in squared levels.

    J. L. Pech-Pacheco, G. Cristobal, J. Chamorro-Martinez, J. Fernandez-Valdivia: Diatom
    autofocusing in brightfield microscopy: a comparative study.  ICPR 2000.
    """
    padded = np.pad(luma.astype(np.int16), 1, mode="reflect")
    vertical = padded[:-2, 1:-1] + padded[2:, 1:-1]
    horizontal = padded[1:-1, :-2] + padded[1:-1, 2:]
    laplacian = vertical + horizontal - 4 * padded[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64))


def noise(luma: "Luma") -> float | None:
    """Standard deviation of additive Gaussian noise in levels; None below 3 x 3 pixels.

    The mask ignores constant and linear surfaces and, mostly, edges; fine texture counts as noise.
    J. Immerkaer: Fast noise variance estimation.  Computer Vision and Image Understanding 64(2),
    1996, 300-302.
    """
    height, width = luma.shape
    if min(height, width) < 3:
        return None
    total = 0
    for top in range(0, height - 2, ROWS_AT_ONCE):
        rows = luma[top : top + ROWS_AT_ONCE + 2].astype(np.int16)
        down = rows[:-2] - 2 * rows[1:-1] + rows[2:]
        both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
        total += int(np.abs(both).sum(dtype=np.int64))
    return float(math.sqrt(math.pi / 2) * total / (6 * (width - 2) * (height - 2)))


def colorfulness(image: Image.Image) -> float:
    """The measure M (named M-hat 3 in the paper) of opponent colours, in levels.

    D. Hasler, S. Suesstrunk: Measuring colourfulness in natural images.  SPIE 5007, 2003.
    """
    red, green, blue = np.moveaxis(np.asarray(image, dtype=np.float64), 2, 0)
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    return spread + 0.3 * math.hypot(red_green.mean(), yellow_blue.mean())


def measure(picture: Picture, params: ImageQualityParams) -> ImageQuality:
    """Every measure of a picture, at least 1 x 1.

    Contrast is the standard deviation of luma on a scale of 0 to 1.  E. Peli: Contrast in complex
    images.  Journal of the Optical Society of America A 7(10), 1990, 2032-2040.
    """
    image = Image.fromarray(picture)
    luma = image.convert("L")
    share = np.array(luma.histogram(), np.float64) / (luma.width * luma.height)
    level = np.arange(256) / 255
    mean = float(share @ level)
    small = at_working_size(image)
    return ImageQuality(
        sharpness=sharpness(np.asarray(small.convert("L"))),
        mean_luma=mean,
        clipped_shadows=float(share[: params.shadow_level + 1].sum()),
        clipped_highlights=float(share[params.highlight_level :].sum()),
        contrast=math.sqrt(float(share @ (level - mean) ** 2)),
        noise=noise(np.asarray(luma)),
        colorfulness=colorfulness(small),
    )


class ImageQualityRunner(Runner[ImageQualityParams, ImageQuality]):
    """Measures while preparing, on several threads; the batch only hands the results on."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[ImageQualityParams]) -> ImageQuality:
        return measure(item.picture, item.params)

    def run(self, batch: Sequence[ImageQuality]) -> Sequence[ImageQuality]:
        return batch
