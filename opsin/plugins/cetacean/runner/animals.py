"""The animal in a picture as a vector: detector and embedder, one after the other."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from opsin import LoadContext, Picture, Region
from opsin.core.imaging import crop
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.runner.detector import ROLE as DETECTOR
from opsin.plugins.cetacean.runner.detector import load_detector
from opsin.plugins.cetacean.runner.embedder import ROLE as EMBEDDER
from opsin.plugins.cetacean.runner.embedder import load_embedder

_THREADS = 4
"""That resize what was detected, while the device waits."""


@dataclass(frozen=True, slots=True, eq=False)
class Animal:
    """A vector, float32, on the CPU, of no special length, and what it was made of.

    No vector: the detector found nothing, and the manifest says to reject that.
    """

    vector: torch.Tensor | None
    region: Region | None
    searched: bool
    """Whether there is a detector."""

    @property
    def note(self) -> str | None:
        if not self.searched or self.region is not None or self.vector is None:
            return None
        return "no animal was detected, the whole image was used"


class Animals:
    """Detector and embedder of a manifest."""

    def __init__(self, pipeline: Pipeline, context: LoadContext) -> None:
        stage = pipeline.manifest.detector
        self.rejects = stage is not None and stage.otherwise == "reject"
        """Whether what the detector does not find is no animal."""
        self._detector = load_detector(pipeline, context)
        self._embedder = load_embedder(pipeline, context)
        self.dimensions = self._embedder.dimensions
        self.fingerprint = fingerprint(context)
        self._pool = ThreadPoolExecutor(_THREADS) if self._detector else None

    def prepare(self, picture: Picture) -> Picture:
        """What `embed` wants of a picture: the embedder's pixels, or all of it to search."""
        return picture if self._detector else self._embedder.fitting.pixels(picture)

    def embed(self, prepared: Sequence[Picture]) -> list[Animal]:
        """One animal a picture."""
        regions: list[Region | None] = [None] * len(prepared)
        pixels = list(prepared)
        if self._detector is not None and self._pool is not None:
            regions = self._detector.find(prepared)
            parts = [
                picture if region is None else crop(picture, region.box)
                for picture, region in zip(prepared, regions, strict=True)
            ]
            pixels = list(self._pool.map(self._embedder.fitting.pixels, parts))
        wanted = [
            index for index, region in enumerate(regions) if region is not None or not self.rejects
        ]
        vectors: list[torch.Tensor | None] = [None] * len(prepared)
        if wanted:
            rows = self._embedder.embed([pixels[index] for index in wanted]).to("cpu")
            for index, row in zip(wanted, rows, strict=True):
                vectors[index] = row
        searched = self._detector is not None
        return [
            Animal(vector, region, searched)
            for vector, region in zip(vectors, regions, strict=True)
        ]

    def memory_bytes(self) -> int:
        detector = self._detector.memory_bytes() if self._detector else 0
        return detector + self._embedder.memory_bytes()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        del self._detector, self._embedder


def fingerprint(context: LoadContext) -> str:
    """Stands for all weights that a vector depends on: the embedder's and, if any, the detector's.

    Without a detector it is the embedder's own.
    """
    own = context.models[EMBEDDER].fingerprint
    if DETECTOR not in context.models:
        return own
    both = f"{context.models[DETECTOR].fingerprint}\n{own}"
    return hashlib.sha256(both.encode()).hexdigest()
