"""Galleries: cosines of a vector with each individual of a collection of embeddings."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from opsin import Gallery, OperationFailed
from opsin.plugins.cetacean.stages import GalleryMatcher

Vector: TypeAlias = npt.NDArray[np.float32]
Cosines: TypeAlias = npt.NDArray[np.float64]

_REMEMBERED = 32
_SHOWN = 12  # digits of a fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The rows of a gallery by individual: `order` sorts them, `starts` is where each begins."""

    individuals: tuple[str, ...]
    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    counts: npt.NDArray[np.intp]

    @classmethod
    def of(cls, labels: tuple[str, ...]) -> "Grouping":
        names, inverse, counts = np.unique(
            np.array(labels, dtype=np.str_), return_inverse=True, return_counts=True
        )
        order = np.argsort(inverse, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        return cls(tuple(names.tolist()), order, starts, counts)


class Groupings:
    """The groupings used last, by the gallery's digest; callable from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Grouping] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, gallery: Gallery) -> Grouping:
        key = (gallery.collection, gallery.digest)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = Grouping.of(gallery.labels)  # twice at worst, and the same
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
        return made


def cosines(
    vector: Vector, gallery: Gallery, grouping: Grouping, matcher: GalleryMatcher
) -> Cosines:
    """One a known individual, in the grouping's order, for a vector of length 1."""
    found = (gallery.vectors @ vector).astype(np.float64)[grouping.order]
    if matcher.combine == "max":
        highest: Cosines = np.maximum.reduceat(found, grouping.starts)
        return highest
    most = matcher.nearest or len(found)
    individual = np.repeat(np.arange(len(grouping.counts)), grouping.counts)
    # Within each individual the nearest first: sorted by the last key, then by the one before.
    found = found[np.lexsort((-found, individual))]
    rank = np.arange(len(found)) - grouping.starts[individual]
    sums = np.add.reduceat(np.where(rank < most, found, 0.0), grouping.starts)
    mean: Cosines = sums / np.minimum(grouping.counts, most)
    return mean


def check_gallery(gallery: Gallery, operation: str, fingerprint: str, dimensions: int) -> None:
    """Raises OperationFailed unless its vectors can be compared with those made here.

    They are made by `operation`, with the weights of `fingerprint`.
    """
    name = gallery.collection
    made_by = [one.operation for one in gallery.inputs]
    if made_by != [operation]:
        raise OperationFailed(
            f"the gallery {name!r} holds vectors of {' + '.join(made_by) or 'nothing'}; "
            f"only those of {operation} can be compared"
        )
    if gallery.fingerprints != (fingerprint,):
        other = ", ".join(one[:_SHOWN] for one in gallery.fingerprints) or "unknown ones"
        raise OperationFailed(
            f"the gallery {name!r} was embedded with other weights ({other}) than those here "
            f"({fingerprint[:_SHOWN]}): enrol its pictures again"
        )
    if gallery.vectors.ndim != 2 or gallery.vectors.shape != (len(gallery.labels), dimensions):
        raise OperationFailed(
            f"the gallery {name!r} has vectors of shape {gallery.vectors.shape} "
            f"for {len(gallery.labels)} labels and {dimensions} dimensions"
        )
