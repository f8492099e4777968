"""Building runners: on a thread of their own, within the memory of their device."""

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from opsin.core.contract import (
    Loadable,
    LoadContext,
    LocatedModel,
    RegionFinder,
    Runner,
    TextEmbedder,
)
from opsin.core.engine.device import (
    allocated_memory,
    release_cached_memory,
    resolve_device,
    set_up_torch,
)
from opsin.core.engine.failures import is_out_of_memory, safe_text
from opsin.core.engine.holdings import Holding, ModelPart, Need, Tenant, Usage
from opsin.core.engine.memory import DeviceMemory
from opsin.core.engine.provenance import ModelUsed, models_used
from opsin.core.engine.shared_models import Share, SharedPool
from opsin.core.errors import Cancelled, OperationUnavailable, OpsinError, PluginError
from opsin.core.plugin_host import PluginFailure, PluginHost, PluginInfo

if TYPE_CHECKING:
    from opsin.core.engine.lane import Lane, Post
    from opsin.core.engine.pool import CpuPool
    from opsin.core.models.store import ModelStore

logger = logging.getLogger("opsin.engine")


_IMPORT_TRIES = 5
_IMPORT_PAUSE = 0.5  # seconds


def _nothing() -> None: ...


def _load_patiently(loadable: Loadable, context: LoadContext) -> Any:
    """The runner; an import that met another thread's in the middle is tried again.

    Large libraries import their parts when they are first asked for (transformers), and then find
    what another load is still importing only half there.
    """
    for _ in range(_IMPORT_TRIES - 1):
        try:
            return loadable.load(context)
        except ModuleNotFoundError:
            raise  # it will not be there later either
        except ImportError as error:
            logger.info("%s: an import is tried again: %s", described(loadable), error)
            time.sleep(_IMPORT_PAUSE)
    return loadable.load(context)


@dataclass(slots=True, eq=False)
class LoadedRunner:
    """A runner that is in memory; `what` names it in messages."""

    what: str
    runner: Runner[Any, Any]
    device: str
    models: tuple[ModelUsed, ...]
    is_plain: bool
    """Nothing is to be done before `run`, so that its items need not visit the pool."""
    usage: Usage = field(default_factory=Usage)
    publish: Callable[[], None] = _nothing
    """Tells what it takes, on the event loop; OperationUnavailable when that is too much."""
    leave: Callable[[], None] = _nothing
    """Gives back what it holds of models and memory."""

    make_lane: "Callable[[CpuPool, Post], Lane] | None" = None
    """Its own way to run batches; None for the device's thread, or the pool."""

    is_closed: bool = False
    host: str = ""

    def close(self) -> None:
        """Free what it takes; once."""
        if self.is_closed:
            return
        self.is_closed = True
        try:
            self.runner.close()
        except BaseException:  # a plugin's SystemExit too
            logger.exception("closing the runner of %s failed", self.what)
        finally:
            del self.runner  # what it has not let go of itself
            self.leave()


class RunnerSource(Protocol):
    """Where an engine's runners come from."""

    def load(self, loadable: Loadable, plugin: PluginInfo, tenant: Tenant) -> LoadedRunner:
        """On any thread: the runner; raises OpsinError."""
        ...

    def close(self, until: float) -> None:
        """Nothing is loaded any more, and every lane is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Loader:
    """Builds runners; called on any thread.

    One that runs out of memory, though it had room by what is known, is tried once more when all
    idle runners of its device have gone.
    """

    host: PluginHost
    models: "ModelStore"
    device: str
    memory: DeviceMemory
    cores: int
    shared: SharedPool = field(default_factory=SharedPool)

    def load(self, loadable: Loadable, plugin: PluginInfo, tenant: Tenant) -> LoadedRunner:
        """Raises OpsinError; what is not just something missing here is reported to the host."""
        try:
            return self._load(loadable, plugin, tenant)
        except (OperationUnavailable, Cancelled):
            raise
        except BaseException as error:  # a plugin's SystemExit too
            what = described(loadable)
            logger.error("%s could not be loaded", what, exc_info=error)
            self.host.report(PluginFailure.of(plugin.name, "load", error))
            if isinstance(error, OpsinError):
                raise
            message = f"{what} could not be loaded: {safe_text(error)}"
            raise PluginError(plugin.name, message) from None

    def close(self, until: float) -> None:
        """Its runners belong to the lanes, which have closed them."""

    def check(self, loadable: Loadable) -> None:
        """OperationUnavailable when something that it needs is not here."""
        if reason := self.models.missing(loadable):
            subject = loadable.name
            if isinstance(loadable, RegionFinder):
                subject = f"finding the region {loadable.target.value!r}"
            if isinstance(loadable, TextEmbedder):
                subject = f"embedding texts for {loadable.operation!r}"
            raise OperationUnavailable(f"{subject} {reason}")

    def _load(self, loadable: Loadable, plugin: PluginInfo, tenant: Tenant) -> LoadedRunner:
        # Before the device: a missing torch is to be called that, not a missing GPU.
        self.check(loadable)
        # Only torch knows its devices, and importing it takes seconds: others stay on the CPU.
        needs_torch = "torch" in loadable.requires
        device = "cpu"
        if needs_torch or self.device != "auto":
            device = resolve_device(self.device)
        if needs_torch:
            set_up_torch(self.cores)
        context = self.models.context(loadable, device)
        need = Need(described(loadable), plugin.name, device, _file_bytes(context))
        holding = self.memory.reserve(tenant, need)
        try:
            try:
                return self._try(loadable, context, holding)
            except BaseException as error:
                if not is_out_of_memory(error):
                    raise
            # Past the except block: the error's frames no longer keep what was loaded of it.
            logger.warning("%s did not fit into memory: idle models make way for it", need.what)
            self.memory.evict_idle(holding)
            _free_memory()
            return self._try(loadable, context, holding)
        except BaseException:
            self._let_go(holding)
            raise

    def _try(self, loadable: Loadable, context: LoadContext, holding: Holding) -> LoadedRunner:
        share = Share(self.shared)
        try:
            return self._built(loadable, replace(context, shared=share), holding, share)
        except BaseException:
            share.release()
            raise

    def _built(
        self, loadable: Loadable, context: LoadContext, holding: Holding, share: Share
    ) -> LoadedRunner:
        before = allocated_memory(context.device)
        runner = _load_patiently(loadable, context)
        if not isinstance(runner, Runner):
            raise TypeError(f"load returned a {type(runner).__name__}, not a Runner")
        taken = runner.memory_bytes()
        if taken is None:
            # Others may have taken or freed memory meanwhile: never less than the files.
            allocated = allocated_memory(context.device) - before
            taken = max(allocated, sum(holding.need.models.values()))
        shared = share.bytes_by_key()
        usage = Usage(max(taken - sum(shared.values()), 0), shared)
        # Light work is done on the processor, wherever other runners are.
        memory = context.device if runner.uses_device else "cpu"
        return LoadedRunner(
            what=holding.need.what,
            runner=runner,
            device=context.device,
            models=models_used(context),
            is_plain=_is_inherited(runner.prepare) and _is_inherited(runner.batch_key),
            usage=usage,
            publish=lambda: self.memory.publish(holding, usage, memory),
            leave=lambda: self._release(holding, share),
        )

    def _release(self, holding: Holding, share: Share) -> None:
        try:
            share.release()
        finally:
            self._let_go(holding)

    def _let_go(self, holding: Holding) -> None:
        try:
            if holding.usage.total:
                _free_memory()
        finally:
            self.memory.release(holding)


def _free_memory() -> None:
    """Give back what nobody refers to any more."""
    gc.collect()  # networks may have cycles
    release_cached_memory()


def _file_bytes(context: LoadContext) -> dict[ModelPart, int]:
    """The bytes of each model's files, which is about what it takes in memory."""
    device, acceleration = context.device, context.acceleration
    return {
        (role, model.requirement.name, model.fingerprint, device, acceleration): _size_of(model)
        for role, model in context.models.items()
    }


def _size_of(model: LocatedModel) -> int:
    try:
        return sum(path.stat().st_size for path in model.paths)
    except OSError:  # gone since it was located: the load will tell
        return model.requirement.size_bytes or 0


def _is_inherited(method: Any) -> bool:
    """Whether a runner's method is the base class's own: then it need not be called."""
    name = getattr(method, "__name__", "")
    return getattr(method, "__func__", None) is getattr(Runner, name, method)


def described(loadable: Loadable) -> str:
    """How messages name it: `operation 'caption'`."""
    kind = "operation"
    if isinstance(loadable, RegionFinder):
        kind = "region finder"
    elif isinstance(loadable, TextEmbedder):
        kind = "text embedder"
    return f"{kind} {loadable.name!r}"
