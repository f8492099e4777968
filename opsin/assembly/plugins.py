"""The plugins of this installation."""

from collections.abc import Sequence

from opsin import __version__
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.graphql.schema import reserved_type_names
from opsin.graphql.trial import check_types
from opsin.settings import Settings

BUILTIN_PLUGINS = tuple(
    PluginSource(name, f"opsin.plugins.{name}.plugin", "opsin", __version__)
    for name in (
        "bbox",
        "clip",
        "dino",
        "quality",
        "colors",
        "phash",
        "saliency",
        "skin",
        "classify",
        "cetacean",
        "caption",
    )
)


def discover_plugins(settings: Settings, more: Sequence[PluginSource] = ()) -> PluginHost:
    """The plugins of this installation, built-in ones first, then `more`, then the installed."""
    return PluginHost.discover(
        (*BUILTIN_PLUGINS, *more),
        options=settings.plugin_options,
        disabled=frozenset(settings.disabled_plugins),
        reserved_type_names=reserved_type_names(),
        strict=settings.strict_plugins,
        trace=settings.trace_plugins,
        check_types=check_types,
    )
