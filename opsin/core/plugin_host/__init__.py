"""The plugins of one server: found, checked, and kept apart when they fail."""

from opsin.core.plugin_host.host import PluginHost
from opsin.core.plugin_host.records import (
    PluginFailure,
    PluginInfo,
    PluginSource,
    RegisteredEmbedder,
    RegisteredFinder,
    RegisteredOperation,
)

__all__ = [
    "PluginFailure",
    "PluginHost",
    "PluginInfo",
    "PluginSource",
    "RegisteredEmbedder",
    "RegisteredFinder",
    "RegisteredOperation",
]
