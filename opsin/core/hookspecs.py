"""Every hook a plugin may implement.  Hooks register, synchronously, at startup."""

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from opsin.core.contract import Application, Operation, RegionFinder, TextEmbedder

PROJECT = "opsin"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def opsin_operations(  # type: ignore[empty-body]  # a specification, never called
    options: Mapping[str, Any],
) -> Iterable[Operation[Any, Any]]:
    """Operations this plugin provides; `options` are the plugin's own settings."""


@hookspec
def opsin_region_finders(  # type: ignore[empty-body]  # a specification, never called
    options: Mapping[str, Any],
) -> Iterable[RegionFinder]:
    """Finders for the targets `prominent_person` and `prominent_face`."""


@hookspec
def opsin_text_embedders(  # type: ignore[empty-body]  # a specification, never called
    options: Mapping[str, Any],
) -> Iterable[TextEmbedder]:
    """Embedders of texts into the space of an operation's embeddings."""


@hookspec
def opsin_applications(  # type: ignore[empty-body]  # a specification, never called
    options: Mapping[str, Any],
) -> Iterable[Application]:
    """Named sets of operations, which accounts attach to their datasets."""
