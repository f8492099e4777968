"""Plugins that provide what a test already holds, let in through the same door as all others."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from opsin import Operation, RegionFinder, hookimpl
from opsin.assembly import Parts, assemble
from opsin.core.plugin_host import PluginSource
from opsin.settings import Settings

PLUGINS = SimpleNamespace()
_numbers = itertools.count()


class GivenPlugin:
    """One plugin's hooks."""

    def __init__(
        self, operations: Sequence[Operation[Any, Any]], finders: Sequence[RegionFinder]
    ) -> None:
        self._operations = operations
        self._finders = finders

    @hookimpl
    def opsin_operations(self, options: Mapping[str, Any]) -> Sequence[Operation[Any, Any]]:
        return self._operations

    @hookimpl
    def opsin_region_finders(self, options: Mapping[str, Any]) -> Sequence[RegionFinder]:
        return self._finders


def given(*operations: Operation[Any, Any], finders: Sequence[RegionFinder] = ()) -> PluginSource:
    """A plugin that provides these."""
    name = f"given_{next(_numbers)}"
    setattr(PLUGINS, name, GivenPlugin(operations, finders))
    return PluginSource(name, f"{__name__}:PLUGINS.{name}")


@asynccontextmanager
async def house_of(
    settings: Settings, *operations: Operation[Any, Any], **changes: Any
) -> AsyncIterator[Parts]:
    """A running house with these operations; `changes` are settings."""
    parts = assemble(settings.model_copy(update=changes), [given(*operations)])
    async with parts.running():
        assert parts.use_cases.host.failures == ()
        yield parts
