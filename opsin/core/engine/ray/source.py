"""Runners for an engine: those of the cluster, and those that run in this process all the same."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from opsin.core.contract import Loadable, Runner
from opsin.core.engine.holdings import Tenant, Usage
from opsin.core.engine.lane import Lane, Post
from opsin.core.engine.loading import LoadedRunner, Loader, described
from opsin.core.engine.pool import CpuPool
from opsin.core.engine.provenance import ModelUsed
from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.lane import RemoteLane
from opsin.core.engine.ray.link import Link
from opsin.core.engine.ray.order import OpenPlugins, Order, kind_of
from opsin.core.engine.ray.placement import Placements
from opsin.core.errors import OperationUnavailable, OpsinError, PluginError
from opsin.core.plugin_host import PluginFailure, PluginInfo

logger = logging.getLogger("opsin.engine")

_TICK = 0.25  # seconds
_LOOK_AT_MODELS = 5.0  # seconds between two looks whether weights have changed
_LOOK_AGAIN = 60.0  # seconds after new weights could not be brought up


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Which cluster, and how it is used."""

    address: str | None
    """`ray://host:port`, or None for the cluster of this machine."""
    open_plugins: OpenPlugins
    plugins: str
    """Tells plugins and options apart that it would open differently."""
    placements: Placements = field(default_factory=Placements)
    namespace: str = "opsin"
    idle_seconds: float = 900.0
    load_seconds: float = 300.0
    batch_seconds: float = 120.0
    start_seconds: float = 300.0


class RaySource:
    """Loads a runner by having the cluster load it; weights that change are rolled over.

    Models are identified by what this process sees of them, so that a result's provenance and its
    key in the caches are the same wherever it was computed.
    """

    def __init__(self, here: Loader, options: RayOptions) -> None:
        self._here = here
        self._options = options
        self._link = Link(options.address, options.namespace)
        self._serving: list[_Serving] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def load(self, loadable: Loadable, plugin: PluginInfo, tenant: Tenant) -> LoadedRunner:
        if self._options.placements.is_here(loadable):
            return self._here.load(loadable, plugin, tenant)
        self._here.check(loadable)
        crew = self._open(loadable, plugin, *self._identity(loadable))
        try:
            told = crew.first(self._closing)
        except BaseException as error:
            crew.close()
            if isinstance(error, PluginError):
                self._here.host.report(PluginFailure.of(plugin.name, "load", error))
            raise
        serving = _Serving(loadable, plugin, crew)
        with self._lock:
            self._serving.append(serving)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._main, name="opsin-ray-source", daemon=True
                )
                self._thread.start()
        return LoadedRunner(
            what=described(loadable),
            runner=_Remote(told.max_batch),
            device=told.device,
            models=told.models,
            is_plain=True,
            usage=Usage(told.bytes),
            leave=partial(self._gone, serving),
            make_lane=serving.make_lane,
        )

    def close(self, until: float) -> None:
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(max(until - time.monotonic(), 0.1))
        self._link.close(until)

    def _identity(self, loadable: Loadable) -> tuple[tuple[ModelUsed, ...], int]:
        """The models as they are here now, and the bytes of their files."""
        store = self._here.models
        how = store.acceleration_of(loadable)
        located = {model.role: store.locate(model) for model in store.models_of(loadable)}
        size = sum(path.stat().st_size for model in located.values() for path in model.paths)
        return tuple(
            ModelUsed.of(model.requirement, model.fingerprint, how)
            for _, model in sorted(located.items())
        ), size

    def _open(
        self, loadable: Loadable, plugin: PluginInfo, models: tuple[ModelUsed, ...], size: int
    ) -> Crew:
        options = self._options
        placement = options.placements.of(loadable, size)
        order = Order(
            open_plugins=options.open_plugins,
            kind=kind_of(loadable),
            name=loadable.name,
            plugin=plugin.name,
            version=loadable.version,
            plugin_version=plugin.version,
            models=models,
            device="auto" if placement.gpus else "cpu",
            cores=max(1, int(placement.cpus)),
            idle_seconds=options.idle_seconds,
            load_seconds=options.load_seconds,
            batch_seconds=options.batch_seconds,
            plugins=options.plugins,
        )
        what = described(loadable)
        return Crew(self._link, order, placement, what, options.start_seconds)

    def _gone(self, serving: "_Serving") -> None:
        """Its runner was closed, whether or not it ever had a lane."""
        with self._lock:
            if serving in self._serving:
                self._serving.remove(serving)
            crew = serving.crew
        crew.close()

    def _main(self) -> None:
        look_at = time.monotonic() + _LOOK_AT_MODELS
        while not self._closing.wait(_TICK):
            with self._lock:
                serving = [one for one in self._serving if one.lane is not None]
            now = time.monotonic()
            looks = now >= look_at
            for one in serving:
                try:
                    assert one.lane is not None  # those above
                    one.lane.tick()
                    one.lane.follow()
                    if looks and now >= one.look_after:
                        self._look(one)
                except Exception:
                    logger.exception("%s could not be looked after", described(one.loadable))
            if looks:
                look_at = time.monotonic() + _LOOK_AT_MODELS

    def _look(self, serving: "_Serving") -> None:
        """Roll over to processes with new weights, once they are ready."""
        if serving.rolling is not None:
            return
        store = self._here.models
        known = [store.known_fingerprint(model) for model in store.models_of(serving.loadable)]
        used = [model.fingerprint for model in serving.crew.order.models]
        if sorted(map(str, known)) == sorted(used):
            return  # a file that has changed has no known fingerprint until it is read
        serving.rolling = threading.Thread(
            target=self._roll, args=(serving,), name="opsin-ray-roll", daemon=True
        )
        serving.rolling.start()

    def _roll(self, serving: "_Serving") -> None:
        crew: Crew | None = None
        try:
            models, size = self._identity(serving.loadable)
            if models != serving.crew.order.models:
                crew = self._open(serving.loadable, serving.plugin, models, size)
                told = crew.first(self._closing)
                with self._lock:
                    is_used = serving in self._serving
                    if is_used:
                        old, serving.crew = serving.crew, crew
                if not is_used:  # it was evicted meanwhile
                    crew.close()
                    return
                if serving.lane is not None:
                    serving.lane.switch(crew, told)
                old.close()
                logger.info("%s goes on with other weights", described(serving.loadable))
        except (OpsinError, OSError) as error:
            if crew is not None:
                crew.close()
            if not isinstance(error, OperationUnavailable):
                logger.warning("%s keeps its weights: %s", described(serving.loadable), error)
            serving.look_after = time.monotonic() + _LOOK_AGAIN
        finally:
            serving.rolling = None


class _Serving:
    """A runner of the cluster that this process uses, and the crew that serves it now."""

    def __init__(self, loadable: Loadable, plugin: PluginInfo, crew: Crew) -> None:
        self.loadable = loadable
        self.plugin = plugin
        self.crew = crew
        self.lane: RemoteLane | None = None
        self.rolling: threading.Thread | None = None
        self.look_after = 0.0

    def make_lane(self, pool: CpuPool, post: Post) -> Lane:
        self.lane = RemoteLane(pool, post, self.crew)
        return self.lane


class _Remote(Runner[Any, Any]):
    """Stands for the runners in the cluster, which are sent batches and never called."""

    def __init__(self, max_batch: int) -> None:
        self.max_batch = max_batch

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        raise AssertionError("a runner of the cluster is not called here")
