"""Where a result comes from: plugin, versions, device, models, and how long each step took."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from pydantic import JsonValue

from opsin.core.contract import Acceleration, LoadContext, ModelRequirement, Precision


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """Weights that took part in a result; `fingerprint` is the sha256 over their files."""

    role: str
    name: str
    fingerprint: str
    precision: str = Precision.FLOAT32.value
    channels_last: bool = False
    compiled: bool = False

    @classmethod
    def of(
        cls, requirement: ModelRequirement, fingerprint: str, acceleration: Acceleration
    ) -> Self:
        """A model of an operation whose models compute with this acceleration."""
        how = acceleration if requirement.accelerates else Acceleration()
        return cls(
            requirement.role,
            requirement.name,
            fingerprint,
            how.precision.value,
            how.channels_last,
            how.compile,
        )


_PARTS = fields(ModelUsed)


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each step; the steps of one picture overlap, they do not add up."""

    decode: float = 0.0
    """Bytes to pixels, waiting for a thread included; 0 when the caller gave pixels, and when no
    operation needed any."""
    region: float = 0.0
    """From the pixels until the target's region was known."""
    inputs: float = 0.0
    """From then until the results of other operations that it needs were there."""
    queued: float = 0.0
    """From then until the batch began: loading, preparing and waiting for the device."""
    run: float = 0.0
    """The whole batch's time on the device, not this item's share of it."""


# `dataclasses.asdict` copies deeply: this is written down for every analysis.
_STEPS = tuple(field.name for field in fields(Timings))


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
    """The operation's own, its finders' when a region was looked for, and those of its inputs."""
    timings: Timings = Timings()
    batch_size: int = 0
    """Items in the batch this one was run in; 0 when it was not run."""
    cached: bool = False
    """It was made earlier, and all of this tells of that time."""
    inputs_reused: bool = False
    """Some of its inputs were made for an earlier or another request: `timings` has nothing of
    them, `models` has theirs."""

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Provenance":
        """What `as_json` gave, however much of it is left; anything else in it is dropped."""
        times = told.get("timings_ms") or {}
        return cls(
            plugin=told.get("plugin", ""),
            plugin_version=told.get("plugin_version"),
            operation=told.get("operation", ""),
            operation_version=told.get("operation_version", ""),
            device=told.get("device"),
            models=tuple(
                ModelUsed(**{part.name: model[part.name] for part in _PARTS if part.name in model})
                for model in told.get("models") or ()
            ),
            timings=Timings(**{step.name: times.get(step.name, 0.0) for step in fields(Timings)}),
            batch_size=told.get("batch_size", 0),
            cached=told.get("cached", False),
            inputs_reused=told.get("inputs_reused", False),
        )

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "plugin": self.plugin,
            "plugin_version": self.plugin_version,
            "operation": self.operation,
            "operation_version": self.operation_version,
            "device": self.device,
            "models": [{p.name: getattr(model, p.name) for p in _PARTS} for model in self.models],
            "timings_ms": {step: round(getattr(self.timings, step), 3) for step in _STEPS},
            "batch_size": self.batch_size,
            "cached": self.cached,
            "inputs_reused": self.inputs_reused,
        }


def models_used(context: LoadContext) -> tuple[ModelUsed, ...]:
    """The models a runner was loaded with, by role, and how they compute."""
    return tuple(
        ModelUsed.of(located.requirement, located.fingerprint, context.acceleration)
        for _, located in sorted(context.models.items())
    )
