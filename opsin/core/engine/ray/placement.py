"""Where operations run: here or in a cluster, and what a process for one takes of a machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from opsin.core.contract import Loadable
from opsin.core.errors import ConfigurationError

_PROCESS_BYTES = 2**30
"""What Python, PyTorch and a batch take of a machine's memory, beside the models."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What each process for one operation takes, and how many of them there may be."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = _PROCESS_BYTES
    """Bytes of the machine's memory."""
    replicas: int = 4


class _Override(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    here: bool | None = None
    cpus: float | None = Field(default=None, ge=0)
    gpus: float | None = Field(default=None, ge=0)
    memory: int | None = Field(default=None, ge=0)
    replicas: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, slots=True)
class Placements:
    """The operator's choice: for everything, and by name for some operations or region finders.

    A GPU is taken only where the cluster has one.
    """

    cpus: float = 1.0
    gpus: float = 0.25
    replicas: int = 4
    by_name: Mapping[str, _Override] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def read(
        cls, setting: str, told: Mapping[str, Mapping[str, Any]], **defaults: Any
    ) -> "Placements":
        """Raises ConfigurationError, which names the setting, for what cannot be used."""
        chosen = {}
        for name, wanted in told.items():
            try:
                chosen[name] = _Override.model_validate(dict(wanted))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise ConfigurationError(
                    f"{setting}: {name[:60]!r}: {where}: {first['msg']}"
                ) from None
        return cls(by_name=MappingProxyType(chosen), **defaults)

    def is_here(self, loadable: Loadable) -> bool:
        """Whether it runs in the process that asks.

        What needs no torch does, unless the operator wants otherwise: to send a picture away costs
        more than to compute its hash.
        """
        override = self.by_name.get(loadable.name)
        if override is not None and override.here is not None:
            return override.here
        return "torch" not in loadable.requires and override is None

    def of(self, loadable: Loadable, model_bytes: int) -> Placement:
        """What a process for it takes; `model_bytes` are those of its models' files."""
        override = self.by_name.get(loadable.name) or _Override()
        default = Placement(
            cpus=self.cpus,
            gpus=self.gpus if "torch" in loadable.requires else 0.0,
            memory=_PROCESS_BYTES + 2 * model_bytes,  # while a file is read it is there twice
            replicas=self.replicas,
        )
        return replace(default, **override.model_dump(exclude_none=True, exclude={"here"}))
