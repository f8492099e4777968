"""What is loaded before anybody asks: operations of the operator's choice, and their finders."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from opsin.core.contract import FaceContext, Loadable, Target
from opsin.core.engine.slots import RunnerSlot
from opsin.core.errors import ConfigurationError
from opsin.core.regions import RegionNeed, region_need

if TYPE_CHECKING:
    from opsin.core.plugin_host import PluginHost, PluginInfo

logger = logging.getLogger("opsin.engine")

_TARGETS = {
    None: (),
    RegionNeed.PERSON: (Target.PROMINENT_PERSON,),
    RegionNeed.FACE_IN_PERSON: (Target.PROMINENT_PERSON, Target.PROMINENT_FACE),
    RegionNeed.FACE_IN_IMAGE: (Target.PROMINENT_FACE,),
}


def everything(host: "PluginHost") -> "Iterator[tuple[Loadable, PluginInfo]]":
    """All that can be loaded, and the plugin that provides it."""
    for operation in host.operations.values():
        yield operation.operation, operation.plugin
    for finder in host.finders.values():
        yield finder.finder, finder.plugin
    for embedder in host.text_embedders.values():
        yield embedder.embedder, embedder.plugin


def check_names(host: "PluginHost", setting: str, names: Collection[str], *, strict: bool) -> None:
    """Names that nothing has: ConfigurationError, or a warning."""
    known = {loadable.name for loadable, _ in everything(host)}
    for name in names:
        if name not in known:
            problem = f"{setting}: there is no operation or region finder {name[:60]!r}"
            if strict:
                raise ConfigurationError(problem)
            logger.warning("%s", problem)


def to_warm(host: "PluginHost", names: Collection[str]) -> "list[tuple[Loadable, PluginInfo]]":
    """What has these names, and the finders that operations' default targets need; each once."""
    finders = {
        registered.finder.name
        for name in names
        if name in host.operations
        for target in _targets(host, name)
        if (registered := host.finders.get(target)) is not None
    }
    return [found for found in everything(host) if found[0].name in finders.union(names)]


def preload(slots: Sequence[RunnerSlot], then: Callable[[], None]) -> None:
    """Load them one after the other: each as soon as can be, and the processor is not swamped.

    `then` is called at the end, also when some could not be loaded.
    """
    if slots:
        slots[0].preload(partial(preload, slots[1:], then))
    else:
        then()


def _targets(host: "PluginHost", name: str) -> tuple[Target, ...]:
    operation = host.operations[name].operation
    context = operation.params.model_fields["face_context"].get_default(call_default_factory=True)
    return _TARGETS[region_need(operation.default_target, FaceContext(context))]
