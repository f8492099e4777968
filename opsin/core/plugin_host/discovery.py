"""One run of plugin discovery: every plugin through the same door, each failure kept to its own."""

import difflib
import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

import pluggy
from pydantic import ValidationError

from opsin.core import hookspecs
from opsin.core.contract import Application, Operation, RegionFinder, Step, TextEmbedder
from opsin.core.errors import DuplicateName, PluginError
from opsin.core.plugin_host.checks import (
    checked_application,
    checked_embedder,
    checked_finder,
    checked_operation,
)
from opsin.core.plugin_host.fields import inner_types
from opsin.core.plugin_host.records import PluginFailure, PluginInfo, PluginSource

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONTRACT = "opsin.core.contract."


@dataclass(slots=True)
class Admitted:
    """A plugin that could be imported and registered, and what its hooks gave."""

    source: PluginSource
    builtin: bool
    operations: list[Operation[Any, Any]] = field(default_factory=list)
    finders: list[RegionFinder] = field(default_factory=list)
    text_embedders: list[TextEmbedder] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)

    @property
    def info(self) -> PluginInfo:
        source = self.source
        names = tuple(operation.name for operation in self.operations)
        return PluginInfo(
            source.name, source.version, source.distribution, source.module, self.builtin, names
        )


class Discovery:
    """Collects what plugins provide; `PluginHost.discover` makes the lasting host of it."""

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]],
        disabled: frozenset[str],
        reserved_type_names: frozenset[str],
        strict: bool,
        trace: bool,
        check_types: Callable[[Operation[Any, Any]], object],
    ) -> None:
        self.admitted: list[Admitted] = []
        self.failures: list[PluginFailure] = []
        self.seen: set[str] = set()
        self._options, self._disabled, self._strict, self._trace = options, disabled, strict, trace
        self._check_types = check_types
        self._owners: dict[tuple[str, str], tuple[str, object]] = {
            ("type", name): (hookspecs.PROJECT, None) for name in reserved_type_names
        }
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def third_parties(self) -> list[PluginSource]:
        """The installed entry points by name: the file system's order must not matter."""
        sources = self._attempt("entry points", "import", _entry_points)
        return sorted(sources or (), key=attrgetter("name", "module"))

    def admit(self, source: PluginSource, builtin: bool) -> None:
        """Import, register and ask one plugin; the only way in."""
        self.seen.add(source.name)
        if source.name in self._disabled:
            return
        self._claim("plugin", source.name, source.name)
        plugin = self._attempt(source.name, "import", partial(_resolve, source.module))
        if plugin is None:
            return
        register = partial(self._register, plugin, source.name)
        if not self._attempt(source.name, "register", register):
            return
        for hook in self._unknown_hooks(source.name):
            self._attempt(source.name, "register", partial(self._refuse, source.name, hook))
        admitted = Admitted(source, builtin)
        self.admitted.append(admitted)
        admitted.operations = self._ask(source.name, "opsin_operations", self._operation)
        admitted.finders = self._ask(source.name, "opsin_region_finders", checked_finder)
        admitted.text_embedders = self._ask(source.name, "opsin_text_embedders", checked_embedder)
        admitted.applications = self._ask(source.name, "opsin_applications", checked_application)
        for operation in admitted.operations:
            self._claim("operation", operation.name, source.name)
            for kind in _public_types(operation):
                self._claim("type", kind.__name__, source.name, kind)
        for finder in admitted.finders:
            self._claim("finder of target", finder.target.value, source.name)
        for embedder in admitted.text_embedders:
            self._claim("text embedder of operation", embedder.operation, source.name)
        for application in admitted.applications:
            self._claim("application", application.name, source.name)
            self._claim("application id", application.id, source.name)

    def check_steps(self) -> None:
        """Look at the steps of every application, now that all operations are known.

        One with params that its operation does not take is left out; one whose operation is not
        here stays, because datasets may have it, and the operation may come back.
        """
        known = {one.name: one for plugin in self.admitted for one in plugin.operations}
        for plugin in self.admitted:
            for application in tuple(plugin.applications):
                for step in application.steps:
                    check = partial(_check_step, plugin.source.name, application.name, step, known)
                    fits = self._attempt(plugin.source.name, "hook:opsin_applications", check)
                    if not fits and step.operation in known and application in plugin.applications:
                        plugin.applications.remove(application)

    def _attempt(self, plugin: str, stage: str, step: Callable[[], T]) -> T | None:
        """The step's value; None when it failed, which is then on record."""
        try:
            return step()
        except KeyboardInterrupt:
            raise
        # SystemExit too: a plugin that calls sys.exit() when imported must not end the server.
        except BaseException as error:
            failure = PluginFailure.of(plugin, stage, error)
            if self._strict:
                text = f"{stage}: {failure.error_type}: {failure.message}"
                raise PluginError(plugin, text) from error
            logger.error("plugin %r failed (%s)", plugin, stage, exc_info=error)
            self.failures.append(failure)
            return None

    def _register(self, plugin: object, name: str) -> bool:
        try:
            self._manager.register(plugin, name)
        except ValueError as error:  # its text shows every plugin so far, each with its path
            raise PluginError(name, "the same object is registered by another plugin") from error
        if not self._manager.get_hookcallers(plugin):
            raise PluginError(name, "it has no function marked with @opsin.hookimpl")
        return True

    def _unknown_hooks(self, plugin: str) -> list[str]:
        """What pluggy's `check_pending` looks for, but of one plugin and without stopping."""
        return [
            name
            for name, caller in vars(self._manager.hook).items()
            if not caller.has_spec()
            for implementation in caller.get_hookimpls()
            if implementation.plugin_name == plugin and not implementation.optionalhook
        ]

    def _refuse(self, plugin: str, hook: str) -> None:
        known = [n for n, caller in vars(self._manager.hook).items() if caller.has_spec()]
        near = difflib.get_close_matches(hook, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PluginError(plugin, f"there is no hook {hook!r}{hint}")

    def _ask(self, plugin: str, hook: str, check: Callable[[str, object], T]) -> list[T]:
        """What the plugin's implementations give, called one by one: a multicall stops at one."""
        found: list[T] = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            if implementation.plugin_name == plugin:
                call = partial(self._call, plugin, hook, implementation, check)
                found += self._attempt(plugin, f"hook:{hook}", call) or ()
        return found

    def _operation(self, plugin: str, candidate: object) -> Operation[Any, Any]:
        operation = checked_operation(plugin, candidate)
        self._check_types(operation)
        return operation

    def _call(
        self, plugin: str, hook: str, implementation: Any, check: Callable[[str, object], T]
    ) -> list[T]:
        if implementation.wrapper or implementation.hookwrapper:
            raise PluginError(plugin, "hook wrappers are not supported")
        options = MappingProxyType(dict(self._options.get(plugin, {})))
        values = {"options": options}
        result = implementation.function(
            *(values[name] for name in implementation.argnames),
            **{name: values[name] for name in implementation.kwargnames if name in values},
        )
        if inspect.iscoroutine(result):
            result.close()
            raise PluginError(plugin, "hooks are synchronous: use def, not async def")
        if result is None:
            raise PluginError(plugin, "the hook returned None; return a list, which may be empty")
        found = [check(plugin, candidate) for candidate in result]
        if self._trace:
            # The keys of the options only: a value may be a secret.
            names = [getattr(descriptor, "name", "") for descriptor in found]
            logger.info("%s: %s(options: %s) -> %s", plugin, hook, sorted(options), names)
        return found

    def _claim(self, kind: str, name: str, plugin: str, thing: object = None) -> None:
        """Take a name for a plugin; only the very same `thing` may stand under one name twice."""
        taken = self._owners.get((kind, name))
        if taken is None:
            self._owners[kind, name] = (plugin, thing)
        elif thing is None or taken[1] is not thing:
            raise DuplicateName(plugin, f"{kind} {name!r} is already taken by {taken[0]!r}")


def _check_step(
    plugin: str, application: str, step: Step, known: Mapping[str, Operation[Any, Any]]
) -> bool:
    what = f"application {application!r}, step {step.key!r}"
    operation = known.get(step.operation)
    if operation is None:
        raise PluginError(plugin, f"{what}: there is no operation {step.operation!r}")
    try:
        params = operation.params.model_validate(dict(step.params))
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]
        field_name = ".".join(map(str, reason["loc"])) or "params"
        raise PluginError(plugin, f"{what}: {field_name}: {reason['msg']}") from None
    if params.target is not None and params.target not in operation.targets:
        raise PluginError(plugin, f"{what}: {step.operation!r} has no target {params.target!r}")
    return True


def _public_types(operation: Operation[Any, Any]) -> list[type]:
    """The classes whose names become names of GraphQL types, but for those of the contract."""
    inner = (*inner_types(operation.result), *inner_types(operation.params))
    return [operation.result, *(kind for kind in inner if not kind.__module__.startswith(CONTRACT))]


def _entry_points() -> set[PluginSource]:
    return {
        PluginSource(
            point.name,
            point.value,
            point.dist.name if point.dist else None,
            point.dist.version if point.dist else None,
        )
        for point in importlib.metadata.entry_points(group=hookspecs.PROJECT)
    }


def _resolve(reference: str) -> object:
    """The module, or the object in it, that `module` or `module:attribute` names."""
    module, _, attribute = reference.partition(":")
    found: object = importlib.import_module(module.strip())
    attribute = attribute.partition("[")[0].strip()  # an entry point may list extras
    if attribute:
        found = attrgetter(attribute)(found)
    if found is None:
        raise PluginError(reference, "the entry point's object is None")
    return found
