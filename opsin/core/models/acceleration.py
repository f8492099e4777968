"""How models are to compute: the operator's tables `[acceleration]` and `[NAME.acceleration]`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from opsin.core.contract import Acceleration, Loadable, Precision, TextEmbedder

ACCELERATION = "acceleration"
"""The name of the tables, which no role of a model can have in the operator's file."""


class AccelerationTable(BaseModel):
    """What one table says; where it says nothing, the default stays."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    precision: Annotated[Precision, Field(strict=False)] | None = None
    channels_last: bool | None = None
    compile: bool | None = None

    def applied_to(self, default: Acceleration) -> Acceleration:
        said: dict[str, Any] = self.model_dump(exclude_none=True)
        return replace(default, **said)


@dataclass(frozen=True, slots=True)
class AccelerationEntry:
    """The table of one operation or region finder; `where` is what messages call it."""

    where: str
    table: AccelerationTable


class Accelerations:
    """What the file says of everything, and by the name of an operation or region finder."""

    def __init__(
        self,
        default: AccelerationTable | None = None,
        by_name: Mapping[str, AccelerationEntry] = MappingProxyType({}),
    ) -> None:
        self._default = (default or AccelerationTable()).applied_to(Acceleration())
        self._by_name = by_name

    def of(self, loadable: Loadable) -> Acceleration:
        """How its models compute; those of a text embedder as those of its operation.

        Plain float32 for what does not accelerate, whatever the file says of everything.
        """
        if not loadable.accelerates:
            return Acceleration()
        own = self._by_name.get(_name_of(loadable))
        return own.table.applied_to(self._default) if own else self._default

    def unused(self, loadables: Iterable[Loadable]) -> Sequence[str]:
        """What is wrong with tables that change nothing."""
        accelerate = {one.name: one.accelerates for one in loadables if _name_of(one) == one.name}
        problems = []
        for name, entry in self._by_name.items():
            if name not in accelerate:
                problems.append(f"{entry.where}: there is no operation or region finder {name!r}")
            elif not accelerate[name]:
                problems.append(f"{entry.where}: {name!r} has no use for it, it is always float32")
        return problems


def _name_of(loadable: Loadable) -> str:
    return loadable.operation if isinstance(loadable, TextEmbedder) else loadable.name
