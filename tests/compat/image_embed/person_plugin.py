"""The real face finder beside a person finder that knows where the person is."""

from collections.abc import Iterable, Sequence
from typing import Any

from opsin import Box, Item, LoadContext, Operation, Region, RegionFinder, Runner, Target, hookimpl
from opsin.core.plugin_host import PluginSource
from opsin.plugins.bbox.plugin import DetectBoundingBox, FaceFinder

SOURCE = PluginSource("person", "tests.compat.image_embed.person_plugin")
PERSON = Box(x_min=40, y_min=60, x_max=500, y_max=590)
"""In the portrait."""


class PersonRunner(Runner[Any, Region | None]):
    """Whoever stands in a dark picture is not seen."""

    uses_device = False

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[Region | None]:
        return [Region(PERSON, 0.9) if item.picture.mean() > 20 else None for item in batch]


class PersonFinder(RegionFinder):
    name = "person_finder"
    version = "fixed"
    target = Target.PROMINENT_PERSON

    def load(self, context: LoadContext) -> PersonRunner:
        return PersonRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [DetectBoundingBox()]


@hookimpl
def opsin_region_finders() -> Iterable[RegionFinder]:
    return [PersonFinder(), FaceFinder()]
