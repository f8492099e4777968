"""What the operator may choose of the whales API."""

from dataclasses import dataclass, field
from typing import Final

from opsin.core.archives import ArchiveLimits
from opsin.core.rate_limits import RateLimit

MODEL_VERSION: Final = "effb4-arcface-v1"
"""What the service that the API is from called its model."""


@dataclass(frozen=True, slots=True)
class WhalesOptions:
    """Values of the settings, by the meaning they have here."""

    is_open: bool = True
    """Whoever sends no key is let in."""
    origins: tuple[str, ...] = ()
    """Sites whose pages may call."""
    limit: RateLimit | None = None
    """Of predictions, for each address that asks."""
    gallery: str | None = None
    """Key of the collection to compare with; None for what the model was trained on."""
    candidates: int = 3
    """Rows of `candidates`."""
    mask: str | None = None
    """The operation that cuts animals out; None for the first there is, "none" for no masks."""
    model_version: str = MODEL_VERSION
    baseline: float | None = None
    """The mean score of pictures of whales when the gate was calibrated."""
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)
    max_picture_bytes: int = 50 * 2**20
