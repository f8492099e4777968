"""What a process for one operation is told, what it tells of itself, and errors on their way."""

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from opsin import __version__
from opsin.core.contract import Loadable, RegionFinder, TextEmbedder
from opsin.core.engine.failures import safe_text
from opsin.core.engine.provenance import ModelUsed
from opsin.core.errors import OperationFailed, OpsinError, PluginError

if TYPE_CHECKING:
    from opsin.core.models.store import ModelStore
    from opsin.core.plugin_host import PluginHost

OpenPlugins: TypeAlias = "Callable[[], tuple[PluginHost, ModelStore]]"
"""Opens the plugins and the models on whatever machine it is called; can be pickled."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that such a process needs in order to serve one operation."""

    open_plugins: OpenPlugins
    kind: str
    """`operation`, `finder` or `embedder`."""
    name: str
    plugin: str
    version: str
    plugin_version: str | None
    models: tuple[ModelUsed, ...]
    """The weights that it has to have, and how they compute."""
    device: str
    cores: int
    idle_seconds: float
    load_seconds: float
    batch_seconds: float
    plugins: str
    """Tells plugins and options apart that `open_plugins` would open differently."""

    @property
    def what(self) -> str:
        """How messages name it."""
        return f"{self.kind} {self.name!r}"

    def overdue(self) -> PluginError:
        """The error for a load that comes to no end."""
        return PluginError(
            self.plugin,
            f"{self.what} was not loaded after {self.load_seconds:g} seconds, and its process was "
            "ended; Ray's log of it says where it stood, OPSIN_RAY_LOAD_SECONDS gives it more time",
        )

    def digest(self) -> str:
        """Tells processes apart that would answer otherwise, or do not speak the same language."""
        told = [__version__]
        told += [f"{one.name}={getattr(self, one.name)!r}" for one in fields(self)[1:]]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Told:
    """What a process that has loaded its runner tells of it."""

    device: str
    models: tuple[ModelUsed, ...]
    max_batch: int
    bytes: int
    host: str


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of ours in pieces: one whose constructor wants more than a message cannot travel."""

    kind: type[OpsinError]
    arguments: tuple[Any, ...]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, error: BaseException, what: str) -> "Fault":
        """Any other error is an OperationFailed of `what`."""
        if not isinstance(error, OpsinError):
            error = OperationFailed(f"{what} failed: {safe_text(error)}")
        fault = cls(type(error), error.args, dict(vars(error)))
        try:
            pickle.dumps(fault)
        except Exception:  # a plugin's own class, with something of its own in it
            return cls.of(OperationFailed(error.message), what)
        return fault

    def error(self) -> OpsinError:
        made = self.kind.__new__(self.kind, *self.arguments)
        made.args = self.arguments
        vars(made).update(self.attributes)
        return made


def kind_of(loadable: Loadable) -> str:
    if isinstance(loadable, RegionFinder):
        return "finder"
    return "embedder" if isinstance(loadable, TextEmbedder) else "operation"
