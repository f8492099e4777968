"""The engine and the models that it loads, as the settings say."""

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from opsin.assembly.plugins import discover_plugins
from opsin.core.contract import Loadable
from opsin.core.engine import Engine, check_names
from opsin.core.engine.loading import Loader, RunnerSource
from opsin.core.engine.ray import Placements, RayOptions, RaySource
from opsin.core.errors import MissingExtra
from opsin.core.imaging import ImageLimits
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.hub import Hub
from opsin.core.models.inventory import ModelInventory
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.settings import Settings


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(
        max_bytes=settings.max_upload_bytes,
        max_pixels=settings.max_image_pixels,
        max_side=settings.max_image_side,
    )


def open_models(settings: Settings, host: PluginHost) -> ModelStore:
    """The models that this installation's plugins need, as the operator has configured them."""
    configuration = ModelConfiguration.read(settings.models) if settings.models else None
    store = ModelStore(
        settings.models_dir,
        offline=settings.offline,
        configuration=configuration,
        hub=Hub(settings.hub_url, settings.hub_token),
        runs_elsewhere=_elsewhere(settings),
    )
    ModelInventory(store, host).check(strict=_is_whole(settings, host))
    return store


def _is_whole(settings: Settings, host: PluginHost) -> bool:
    """Whether every plugin is there: what is said of one that is not must not stop the others."""
    return not host.failures and not settings.disabled_plugins


def build_engine(settings: Settings, host: PluginHost, models: ModelStore) -> Engine:
    for setting, names in (("OPSIN_PINNED", settings.pinned), ("OPSIN_WARM", settings.warm)):
        check_names(host, setting, names, strict=_is_whole(settings, host))
    return Engine(
        host,
        models,
        device=settings.device,
        limits=image_limits(settings),
        queue_limit=settings.queue_limit,
        cpu_threads=settings.cpu_threads,
        device_memory=settings.device_memory,
        pinned=settings.pinned,
        picture_cache=settings.picture_cache_bytes,
        elsewhere=_cluster(settings, host),
    )


def open_plugins(chosen: str) -> tuple[PluginHost, ModelStore]:
    """What a process in a cluster needs to load an operation; `chosen` is by `_of_operations`."""
    told = json.loads(chosen)
    settings = Settings.model_construct(
        data_dir=Path(told["data_dir"]),
        models=told["models"] and Path(told["models"]),
        offline=True,
        disabled_plugins=tuple(told["disabled_plugins"]),
        plugin_options=told["plugin_options"],
    )
    host = discover_plugins(settings)
    return host, open_models(settings, host)


def _cluster(settings: Settings, host: PluginHost) -> Callable[[Loader], RunnerSource] | None:
    if settings.engine == "local":
        return None
    if find_spec("ray") is None:
        raise MissingExtra(f"OPSIN_ENGINE={settings.engine.partition(':')[0]}", "ray")
    placements = _placements(settings)
    check_names(host, "OPSIN_RAY_PLACEMENT", placements.by_name, strict=_is_whole(settings, host))
    chosen = _of_operations(settings)
    options = RayOptions(
        address=None if settings.engine == "ray" else settings.engine,
        open_plugins=partial(open_plugins, chosen),
        plugins=chosen,
        placements=placements,
        namespace=settings.ray_namespace,
        idle_seconds=settings.ray_idle_seconds,
        load_seconds=settings.ray_load_seconds,
        batch_seconds=settings.ray_batch_seconds,
    )
    return partial(RaySource, options=options)


def _placements(settings: Settings) -> Placements:
    return Placements.read(
        "OPSIN_RAY_PLACEMENT",
        settings.ray_placement,
        cpus=settings.ray_cpus,
        gpus=settings.ray_gpus,
        replicas=settings.ray_replicas,
    )


def _elsewhere(settings: Settings) -> Callable[[Loadable], bool]:
    """Whether an operation runs in a cluster."""
    if settings.engine == "local":
        return lambda loadable: False
    placements = _placements(settings)
    return lambda loadable: not placements.is_here(loadable)


def _of_operations(settings: Settings) -> str:
    """What operations depend on and nothing else: no key, no password, no address goes along."""
    told = {
        "data_dir": str((settings.ray_data_dir or settings.data_dir).absolute()),
        "models": settings.models and str(settings.models.absolute()),
        "disabled_plugins": sorted(settings.disabled_plugins),
        "plugin_options": settings.plugin_options,
    }
    return json.dumps(told, sort_keys=True)
