"""What a plugin is made of: operations, region finders, their params, results and runners.

A plugin author subclasses `Operation`, `Runner`, `Params` and `Result`, and returns an instance of
the operation from the hook `opsin_operations`.  Nothing here imports a model library.
"""

from opsin.core.contract.applications import Application, Step
from opsin.core.contract.operations import (
    Acceleration,
    Item,
    Loadable,
    LoadContext,
    MissingRegion,
    NothingShared,
    Operation,
    Precision,
    RegionFinder,
    Runner,
    SharedKey,
    SharedModels,
    TextEmbedder,
)
from opsin.core.contract.references import (
    Classifier,
    Gallery,
    Input,
    Reference,
    ReferenceKind,
    ReferenceRequest,
)
from opsin.core.contract.regions import (
    Box,
    FaceContext,
    Picture,
    Point,
    Region,
    Target,
)
from opsin.core.contract.results import (
    Annotation,
    Embedding,
    EmbeddingParams,
    Params,
    ProducedArtifact,
    Result,
)
from opsin.core.models.requirements import (
    Bundled,
    Download,
    Folder,
    LocatedModel,
    ModelRequirement,
    Repository,
)

__all__ = [
    "Acceleration",
    "Annotation",
    "Application",
    "Box",
    "Bundled",
    "Classifier",
    "Download",
    "Embedding",
    "EmbeddingParams",
    "FaceContext",
    "Folder",
    "Gallery",
    "Input",
    "Item",
    "LoadContext",
    "Loadable",
    "LocatedModel",
    "MissingRegion",
    "ModelRequirement",
    "NothingShared",
    "Operation",
    "Params",
    "Picture",
    "Point",
    "Precision",
    "ProducedArtifact",
    "Reference",
    "ReferenceKind",
    "ReferenceRequest",
    "Region",
    "RegionFinder",
    "Repository",
    "Result",
    "Runner",
    "SharedKey",
    "SharedModels",
    "Step",
    "Target",
    "TextEmbedder",
]
