"""The plugins of one server: found, checked, and kept apart when they fail."""

from opsin.core.plugin_host.host import PluginHost
from opsin.core.plugin_host.records import (
    PluginFailure,
    PluginInfo,
    PluginSource,
    RegisteredApplication,
    RegisteredEmbedder,
    RegisteredFinder,
    RegisteredOperation,
)

__all__ = [
    "PluginFailure",
    "PluginHost",
    "PluginInfo",
    "PluginSource",
    "RegisteredApplication",
    "RegisteredEmbedder",
    "RegisteredFinder",
    "RegisteredOperation",
]
