"""The plugin host: what the plugins of one server provide, found once and then frozen.

Built-in plugins and third-party ones (entry points of the group `opsin`) come through one door.
"""

import difflib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from opsin.core.contract import Operation, Target
from opsin.core.errors import UnknownOperation
from opsin.core.plugin_host.discovery import Discovery
from opsin.core.plugin_host.records import (
    PluginFailure,
    PluginInfo,
    PluginSource,
    RegisteredApplication,
    RegisteredEmbedder,
    RegisteredFinder,
    RegisteredOperation,
)

logger = logging.getLogger(__name__)

MAX_FAILURES = 256
"""Failures kept; a model that fails to load again and again must not fill the memory."""


class PluginHost:
    """The plugins of one server; made by `discover`, or by hand from parts in a test."""

    def __init__(
        self,
        plugins: Sequence[PluginInfo] = (),
        operations: Mapping[str, RegisteredOperation] = MappingProxyType({}),
        finders: Mapping[Target, RegisteredFinder] = MappingProxyType({}),
        failures: Sequence[PluginFailure] = (),
        text_embedders: Mapping[str, RegisteredEmbedder] = MappingProxyType({}),
        applications: Mapping[str, RegisteredApplication] = MappingProxyType({}),
    ) -> None:
        self.plugins = tuple(plugins)
        self.operations: Mapping[str, RegisteredOperation] = MappingProxyType(dict(operations))
        self.finders: Mapping[Target, RegisteredFinder] = MappingProxyType(dict(finders))
        self.text_embedders: Mapping[str, RegisteredEmbedder] = MappingProxyType(
            dict(text_embedders)
        )
        """By the name of the operation into whose space they embed."""
        self.applications: Mapping[str, RegisteredApplication] = MappingProxyType(
            dict(applications)
        )
        """By id; a step's operation need not be here."""
        self._failures = dict.fromkeys(failures)
        self._lock = threading.Lock()

    @classmethod
    def discover(
        cls,
        builtins: Sequence[PluginSource],
        *,
        entry_points: bool = True,
        options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        disabled: frozenset[str] = frozenset(),
        reserved_type_names: frozenset[str] = frozenset(),
        strict: bool = False,
        trace: bool = False,
        check_types: Callable[[Operation[Any, Any]], object] = lambda operation: None,
    ) -> "PluginHost":
        """Admit the built-ins in order, then third-party plugins by name.

        `options` and `disabled` go by plugin name.  A plugin that fails is left out and told of in
        `failures`; under `strict` it raises `PluginError`.  `DuplicateName` is always raised:
        which of the two would answer must not be a matter of order.  `check_types` raises for an
        operation whose params or result no door could show; its plugin has failed, then.
        """
        discovery = Discovery(options, disabled, reserved_type_names, strict, trace, check_types)
        for source in builtins:
            discovery.admit(source, builtin=True)
        for source in discovery.third_parties() if entry_points else ():
            discovery.admit(source, builtin=False)
        discovery.check_steps()
        for name in sorted((set(options) | disabled) - discovery.seen):
            logger.warning("the settings name a plugin that is not installed: %r", name)
        operations = {
            operation.name: RegisteredOperation(plugin.info, operation)
            for plugin in discovery.admitted
            for operation in plugin.operations
        }
        finders = {
            finder.target: RegisteredFinder(plugin.info, finder)
            for plugin in discovery.admitted
            for finder in plugin.finders
        }
        embedders = {
            embedder.operation: RegisteredEmbedder(plugin.info, embedder)
            for plugin in discovery.admitted
            for embedder in plugin.text_embedders
        }
        applications = {
            application.id: RegisteredApplication(plugin.info, application)
            for plugin in discovery.admitted
            for application in plugin.applications
        }
        plugins = [plugin.info for plugin in discovery.admitted]
        return cls(plugins, operations, finders, discovery.failures, embedders, applications)

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """Every failure so far, oldest first."""
        with self._lock:
            return tuple(self._failures)

    def report(self, failure: PluginFailure) -> None:
        """Add a failure that came up later, such as a model that cannot be loaded; any thread."""
        with self._lock:
            if failure not in self._failures and len(self._failures) >= MAX_FAILURES:
                del self._failures[next(iter(self._failures))]
            self._failures[failure] = None

    def operation(self, name: str) -> Operation[Any, Any]:
        """The operation of that name, or `UnknownOperation` with the names that come near."""
        registered = self.operations.get(name)
        if registered is not None:
            return registered.operation
        name = name[:100]  # a caller chose it, and it goes into a message
        near = " or ".join(repr(n) for n in difflib.get_close_matches(name, self.operations))
        hint = f"; did you mean {near}?" if near else ""
        raise UnknownOperation(f"there is no operation {name!r}{hint}")
