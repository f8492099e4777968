"""The DCT hash and the difference hash of a picture's luma (ITU-R BT.601)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from opsin import Item, Params, Picture, Runner
from opsin.plugins.phash.plugin import PerceptualHash

if TYPE_CHECKING:
    import numpy.typing as npt

    Luma = npt.NDArray[np.float64]
    Bits = npt.NDArray[np.bool_]

DCT_SIDE = 32
HASH_SIDE = 8


def dct_matrix(size: int) -> "Luma":
    """The orthonormal DCT-II of `size` samples: row k holds the cosine of frequency k."""
    frequency, place = np.arange(size)[:, None], np.arange(size)
    matrix: Luma = math.sqrt(2 / size) * np.cos(np.pi / size * frequency * (place + 0.5))
    matrix[0] = math.sqrt(1 / size)
    return matrix


# The frequencies 1 to 8: without the mean, which says only how bright the picture is.
LOW_FREQUENCIES = dct_matrix(DCT_SIDE)[1 : HASH_SIDE + 1]


def cell_means(luma: Image.Image, width: int, height: int) -> "Luma":
    """The mean of each of width x height cells of the picture (mode F), partial pixels weighted."""
    return np.asarray(luma.resize((width, height), Image.Resampling.BOX), np.float64)


def hexadecimal(bits: "Bits") -> str:
    """64 bits, the first the most significant, as 16 digits."""
    return np.packbits(bits.ravel()).tobytes().hex()


def dct_hash(luma: Image.Image) -> str:
    """pHash: which of the 8 x 8 low frequencies, without mean and plain stripes, exceed the median.

    C. Zauner: Implementation and benchmarking of perceptual image hash functions.  Diploma thesis,
    Upper Austria University of Applied Sciences, Hagenberg, 2010.  The picture is brought
    to 32 x 32 by the mean of each cell, not by a 7 x 7 mean and the nearest pixel, so the hashes
    are not those of libpHash bit by bit.
    """
    small = cell_means(luma, DCT_SIDE, DCT_SIDE)
    coefficients = LOW_FREQUENCIES @ small @ LOW_FREQUENCIES.T
    # What is zero must be zero: bits of a plain picture would otherwise be rounding errors.
    coefficients = np.round(coefficients, 2)
    return hexadecimal(coefficients > np.median(coefficients))


def difference_hash(luma: Image.Image) -> str:
    """dHash: in 8 rows of 9 cells, whether each cell is darker than the next, in whole levels.

    N. Krawetz: Kind of like that.  The Hacker Factor Blog, 21 January 2013.
    """
    cells = np.rint(cell_means(luma, HASH_SIDE + 1, HASH_SIDE))
    return hexadecimal(cells[:, :-1] < cells[:, 1:])


class PerceptualHashRunner(Runner[Params, PerceptualHash]):
    """Hashes while preparing, on several threads; the batch only hands the results on."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[Params]) -> PerceptualHash:
        return perceptual_hash(item.picture)

    def run(self, batch: Sequence[PerceptualHash]) -> Sequence[PerceptualHash]:
        return batch


def perceptual_hash(picture: Picture) -> PerceptualHash:
    """Both hashes of a picture, at least 1 x 1."""
    luma = Image.fromarray(picture).convert("L").convert("F")
    return PerceptualHash(phash=dct_hash(luma), dhash=difference_hash(luma))
