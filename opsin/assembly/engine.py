"""The engine and the models that it loads, as the settings say."""

from opsin.core.engine import Engine, check_names
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
    )
