"""Dominant colours by k-means in CIELAB: sample, cluster, merge what looks the same.

S. P. Lloyd: Least squares quantization in PCM.  IEEE Transactions on Information Theory 28(2),
1982.  The first centres come from variance-based splitting, which draws no random number: T. Su,
J. G. Dy: In search of deterministic methods for initializing k-means and Gaussian mixture
clustering.  Intelligent Data Analysis 11(4), 2007 (Var-Part).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from opsin import Item, Picture, Runner
from opsin.plugins.colors.cielab import lab_of, srgb_of
from opsin.plugins.colors.plugin import DominantColor, DominantColors, DominantColorsParams

if TYPE_CHECKING:
    import numpy.typing as npt

    from opsin.plugins.colors.cielab import Colors, Lab

    Weights = npt.NDArray[np.float64]
    Labels = npt.NDArray[np.intp]

SAMPLE_SIDE = 256
"""Cells along each side of the picture at most; one pixel is taken from each."""
SEED = 2007
STILL = 0.1
"""Delta E*ab by which a centre may still move when the search ends: far below what is seen."""
MOST_ROUNDS = 50
POINTS_AT_ONCE = 4096
"""Of which the distances to all centres stay in the processor's cache."""


def sample(picture: Picture) -> "Colors":
    """One pixel, n x 3, from each of at most 256 x 256 equal cells, at a place drawn once.

    Pixels are taken and never averaged: only colours that are there come out.  And with the place
    different in every cell, no regular pattern (stripes, a raster) can fall in step with the grid.
    A side of at most 256 pixels is taken whole.
    """
    height, width = picture.shape[:2]
    rows, columns = min(height, SAMPLE_SIDE), min(width, SAMPLE_SIDE)
    # Raw bits: numpy keeps them the same for ever, unlike the numbers that a Generator draws.
    bits = np.random.PCG64(SEED).random_raw(2 * SAMPLE_SIDE**2).reshape(2, SAMPLE_SIDE, -1)
    down, right = (bits[:, :rows, :columns] >> np.uint64(11)) * 2.0**-53
    y = ((np.arange(rows)[:, None] + down) * height / rows).astype(np.intp)
    x = ((np.arange(columns) + right) * width / columns).astype(np.intp)
    taken: Colors = picture[np.minimum(y, height - 1), np.minimum(x, width - 1)]
    return taken.reshape(-1, 3)


def distinct(colors: "Colors") -> tuple["Colors", "Weights"]:
    """Each colour once, in the order of its hexadecimal form, with the number of its pixels."""
    packed = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    values, counts = np.unique(packed, return_counts=True)
    channels = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1)
    return channels.astype(np.uint8), counts.astype(np.float64)


def means(points: "Lab", weights: "Weights", labels: "Labels", count: int) -> "Lab":
    """The weighted mean of each of `count` clusters; NaN for one without points."""
    total = np.bincount(labels, weights, count)
    sums = [np.bincount(labels, weights * axis, count) for axis in points.T]
    with np.errstate(invalid="ignore"):
        return np.stack(sums, axis=1) / total[:, None]


def nearest(points: "Lab", centres: "Lab") -> "Labels":
    """The index of the centre nearest to each point."""
    labels = np.empty(len(points), np.intp)
    squares = (centres**2).sum(axis=1)
    for start in range(0, len(points), POINTS_AT_ONCE):
        part = slice(start, start + POINTS_AT_ONCE)
        # The squared distances, less the point's own square, which is the same for every centre.
        labels[part] = (squares - 2 * points[part] @ centres.T).argmin(axis=1)
    return labels


def first_centres(points: "Lab", weights: "Weights", count: int) -> "Lab":
    """Split the cluster with the largest squared error at its mean, `count` - 1 times.

    The cut goes across the axis of the largest variance.  There must be more points than `count`.
    """
    labels = np.zeros(len(points), np.intp)
    for clusters in range(1, count):
        centres = means(points, weights, labels, clusters)
        squares = weights[:, None] * (points - centres[labels]) ** 2
        errors = np.stack([np.bincount(labels, axis, clusters) for axis in squares.T], axis=1)
        worst = int(errors.sum(axis=1).argmax())
        axis = int(errors[worst].argmax())
        labels[(labels == worst) & (points[:, axis] > centres[worst, axis])] = clusters
    return means(points, weights, labels, count)


def k_means(points: "Lab", weights: "Weights", count: int) -> tuple["Lab", "Weights"]:
    """At most `count` centres and the weight of each; of no more points than that, the points."""
    if len(points) <= count:
        return points, weights
    centres = first_centres(points, weights, count)
    for _ in range(MOST_ROUNDS):
        labels = nearest(points, centres)
        moved = means(points, weights, labels, count)
        moved = np.where(np.isnan(moved), centres, moved)
        still = np.abs(moved - centres).max() < STILL
        centres = moved
        if still:
            break
    total: Weights = np.bincount(labels, weights, count).astype(np.float64)
    return centres[total > 0], total[total > 0]


def merged(centres: "Lab", weights: "Weights", below: float) -> tuple["Lab", "Weights"]:
    """The centres with the nearest two made one for as long as they are nearer than `below`."""
    while len(centres) > 1:
        distances = np.linalg.norm(centres[:, None] - centres, axis=2)
        np.fill_diagonal(distances, np.inf)
        one, other = sorted(np.unravel_index(int(distances.argmin()), distances.shape))
        if distances[one, other] >= below:
            break
        both = weights[one] + weights[other]
        centres = centres.copy()
        centres[one] = (centres[one] * weights[one] + centres[other] * weights[other]) / both
        weights = weights.copy()
        weights[one] = both
        centres, weights = np.delete(centres, other, axis=0), np.delete(weights, other)
    return centres, weights


def dominant_colors(picture: Picture, params: DominantColorsParams) -> DominantColors:
    """The colours of a picture, at least 1 x 1; of equal shares the darker hexadecimal first."""
    colors, weights = distinct(sample(picture))
    centres, weights = k_means(lab_of(colors), weights, params.count)
    centres, weights = merged(centres, weights, params.merge_below)
    # Two centres may still round to one colour.
    rounded, where = np.unique(srgb_of(centres), axis=0, return_inverse=True)
    shares = np.bincount(where, weights) / weights.sum()
    found = []
    for color, share in zip(rounded.tolist(), shares.tolist(), strict=True):
        red, green, blue = color
        text = f"#{red:02x}{green:02x}{blue:02x}"
        found.append(DominantColor(hex=text, red=red, green=green, blue=blue, share=share))
    return DominantColors(colors=sorted(found, key=lambda color: (-color.share, color.hex)))


class DominantColorsRunner(Runner[DominantColorsParams, DominantColors]):
    """Finds while preparing, on several threads; the batch only hands the results on."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[DominantColorsParams]) -> DominantColors:
        return dominant_colors(item.picture, item.params)

    def run(self, batch: Sequence[DominantColors]) -> Sequence[DominantColors]:
        return batch
