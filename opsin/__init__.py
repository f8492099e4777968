"""Opsin, an image-analysis server; this module is the plugin author's door."""

from opsin.core.contract import (
    Annotation,
    Box,
    Bundled,
    Download,
    FaceContext,
    Folder,
    Item,
    LoadContext,
    LocatedModel,
    MissingRegion,
    ModelRequirement,
    Operation,
    Params,
    Picture,
    ProducedArtifact,
    Region,
    RegionFinder,
    Repository,
    Result,
    Runner,
    Target,
)
from opsin.core.errors import InvalidImage, InvalidParams, OperationFailed, OpsinError
from opsin.core.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = [
    "Annotation",
    "Box",
    "Bundled",
    "Download",
    "FaceContext",
    "Folder",
    "InvalidImage",
    "InvalidParams",
    "Item",
    "LoadContext",
    "LocatedModel",
    "MissingRegion",
    "ModelRequirement",
    "Operation",
    "OperationFailed",
    "OpsinError",
    "Params",
    "Picture",
    "ProducedArtifact",
    "Region",
    "RegionFinder",
    "Repository",
    "Result",
    "Runner",
    "Target",
    "__version__",
    "hookimpl",
]
