"""What the plugin host knows of each plugin: source, facts, failures and registered parts."""

import re
from dataclasses import dataclass
from typing import Any

from opsin.core.contract import Application, Operation, RegionFinder, TextEmbedder

# A file's path in a foreign message tells callers about this machine.
_FILE_PATH = re.compile(
    r"(?<![\w:/.\\])(?:[A-Za-z]:)?[\\/](?:[^\s\\/'\":,;()\[\]]+[\\/])+[^\s\\/'\":,;()\[\]]*"
)


@dataclass(frozen=True, slots=True)
class PluginSource:
    """Where a plugin is: an importable `module`, or `module:attribute` for an object in it."""

    name: str
    module: str
    distribution: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that was admitted."""

    name: str
    version: str | None
    distribution: str | None
    module: str
    builtin: bool
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """What went wrong in a plugin, in words that callers may see."""

    plugin: str
    stage: str
    """`import`, `register`, `hook:<name>` or `load`."""
    error_type: str
    message: str

    @classmethod
    def of(cls, plugin: str, stage: str, error: BaseException) -> "PluginFailure":
        """The failure that `error` is: one line, no file's path, no traceback."""
        text = " ".join(str(error).split()).removeprefix(f"plugin {plugin!r}: ")
        text = _FILE_PATH.sub("<path>", text)
        return cls(plugin, stage, type(error).__name__, text[:500] or "no message")


@dataclass(frozen=True, slots=True)
class RegisteredOperation:
    """An operation and the plugin that provides it."""

    plugin: PluginInfo
    operation: Operation[Any, Any]


@dataclass(frozen=True, slots=True)
class RegisteredFinder:
    """A region finder and the plugin that provides it."""

    plugin: PluginInfo
    finder: RegionFinder


@dataclass(frozen=True, slots=True)
class RegisteredEmbedder:
    """A text embedder and the plugin that provides it."""

    plugin: PluginInfo
    embedder: TextEmbedder


@dataclass(frozen=True, slots=True)
class RegisteredApplication:
    """An application and the plugin that declares it."""

    plugin: PluginInfo
    application: Application
