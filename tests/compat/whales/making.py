"""Small checkpoints and pictures for the whales API: an identifier whose answers are known."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from opsin.settings import Settings
from tests.plugins.cetacean import making

INDIVIDUALS = ("a6e325d8e924", "208b91b1ca2b", "e5b92928d76e", "0a1b2c3d4e5f")
SPECIES = {
    "a6e325d8e924": "bottlenose_dolphin",
    "208b91b1ca2b": "bottlenose_dolphin",
    "e5b92928d76e": "beluga",
}
"""The last individual has no species."""
DETECTION = (
    *("image_ind", "bbox", "class_animal", "id_animal", "probability", "mask", "is_cetacean"),
    *("cetacean_score", "rejected", "rejection_reason", "model_version", "candidates"),
)
"""The keys of an answer, in their order."""


def checkpoints(folder: Path) -> None:
    """A gate, an embedder and prototypes, as the manifests below name them."""
    making.save_gate(folder)
    making.save_embedder(folder)
    torch.manual_seed(5)
    making.save_prototypes(folder, INDIVIDUALS, torch.randn(len(INDIVIDUALS), 32), SPECIES)


def manifest(folder: Path, threshold: float | None = 0.0, **tables: Any) -> Path:
    """A pipeline of these checkpoints; without a threshold it has no gate."""
    gate = None if threshold is None else making.gate(threshold=threshold)
    return making.manifest(folder, **{"gate": gate, "prototypes": making.prototypes(), **tables})


def settings_of(folder: Path, file: Path | None, **more: Any) -> Settings:
    """On the CPU, without a worker, with a limit that no test reaches unless it means to."""
    options = {} if file is None else {"cetacean": {"manifest": str(file)}}
    given = {"whales_rate_limit": 100_000, **more}
    return Settings(
        data_dir=folder / "data", worker=False, device="cpu", offline=True, plugin_options=options
    ).model_copy(update=given)


def picture(number: int = 0, form: str = "PNG", **save: Any) -> bytes:
    """One of a few smooth pictures, encoded."""
    pixels = making.pictures(number + 1)[number]
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, form, **save)
    return encoded.getvalue()


def size_of(content: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(content)).size


def archive(entries: Mapping[str, bytes] | Iterable[tuple[str, bytes]], **options: Any) -> bytes:
    """A ZIP archive; pairs may have one name twice."""
    pairs = entries.items() if isinstance(entries, Mapping) else entries
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", **options) as written:
        for name, content in pairs:
            written.writestr(zipfile.ZipInfo(name), content, options.get("compression"))
    return packed.getvalue()


def single(content: bytes, name: str = "whale.png", kind: str = "image/png") -> dict[str, Any]:
    """A form for `predict-single`, as httpx takes it."""
    return {"files": {"file": (name, content, kind)}}


def batch(content: bytes, kind: str = "application/zip") -> dict[str, Any]:
    """A form for `predict-batch`."""
    return {"files": {"archive": ("batch.zip", content, kind)}}
