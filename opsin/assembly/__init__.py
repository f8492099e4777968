"""Builds every part of an installation from its settings."""

from opsin.assembly.assembling import assemble
from opsin.assembly.engine import build_engine, image_limits, open_models
from opsin.assembly.parts import Parts
from opsin.assembly.plugins import BUILTIN_PLUGINS, discover_plugins

__all__ = [
    "BUILTIN_PLUGINS",
    "Parts",
    "assemble",
    "build_engine",
    "discover_plugins",
    "image_limits",
    "open_models",
]
