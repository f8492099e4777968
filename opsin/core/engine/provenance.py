"""Where a result comes from: plugin, versions, device, models, and how long each step took."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

if TYPE_CHECKING:
    from opsin.core.contract import LoadContext


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """Weights that took part in a result; `fingerprint` is the sha256 over their files."""

    role: str
    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each step; the steps of one picture overlap, they do not add up."""

    decode: float = 0.0
    """Bytes to pixels, waiting for a thread included; 0 when the caller gave pixels."""
    region: float = 0.0
    """From the pixels until the target's region was known."""
    queued: float = 0.0
    """From then until the batch began: loading, preparing and waiting for the device."""
    run: float = 0.0
    """The whole batch's time on the device, not this item's share of it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to say how a result was made, and to make it again."""

    plugin: str
    plugin_version: str | None
    operation: str
    operation_version: str
    device: str | None = None
    """None when the runner was never reached."""
    models: tuple[ModelUsed, ...] = ()
    """The operation's own and, when a region was looked for, its finders'."""
    timings: Timings = Timings()
    batch_size: int = 0
    """Items in the batch this one was run in; 0 when it was not run."""

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "plugin": self.plugin,
            "plugin_version": self.plugin_version,
            "operation": self.operation,
            "operation_version": self.operation_version,
            "device": self.device,
            "models": [asdict(model) for model in self.models],
            "timings_ms": {
                step: round(milliseconds, 3) for step, milliseconds in asdict(self.timings).items()
            },
            "batch_size": self.batch_size,
        }


def models_used(context: "LoadContext") -> tuple[ModelUsed, ...]:
    """The models a runner was loaded with, by role."""
    return tuple(
        ModelUsed(role, located.requirement.name, located.fingerprint)
        for role, located in sorted(context.models.items())
    )
