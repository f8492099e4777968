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
        self._default = default or AccelerationTable()
        self._by_name = by_name

    def of(self, loadable: Loadable) -> Acceleration:
        """How its models compute; those of a text embedder as those of its operation.

        Its own way for what does not accelerate, whatever the file says of everything.
        """
        if not loadable.accelerates:
            return loadable.acceleration
        chosen = self._default.applied_to(loadable.acceleration)
        if own := self._by_name.get(_name_of(loadable)):
            chosen = own.table.applied_to(chosen)
        return chosen if loadable.compiles else replace(chosen, compile=False)

    def unused(self, loadables: Iterable[Loadable]) -> Sequence[str]:
        """What is wrong with tables that change nothing."""
        by_name = {one.name: one for one in loadables if _name_of(one) == one.name}
        problems = []
        for name, entry in self._by_name.items():
            if name not in by_name:
                problems.append(f"{entry.where}: there is no operation or region finder {name!r}")
            elif not by_name[name].accelerates:
                problems.append(f"{entry.where}: {name!r} has no use for it, it is always float32")
            elif entry.table.compile and not by_name[name].compiles:
                problems.append(f"{entry.where}: key 'compile': {name!r} is never compiled")
        return problems


def _name_of(loadable: Loadable) -> str:
    return loadable.operation if isinstance(loadable, TextEmbedder) else loadable.name
