"""DINO: the operations `embed_dino_v2`, `embed_dino_v3` and `embed_dino_v3_patch`."""

from collections.abc import Iterable
from typing import Any

from opsin import (
    Embedding,
    EmbeddingParams,
    LoadContext,
    ModelRequirement,
    Operation,
    Repository,
    Runner,
    hookimpl,
)

ROLE = "encoder"
_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")

DINO_V2_BASE = ModelRequirement(
    role=ROLE,
    name="dinov2-base",
    origin=Repository(
        "facebook/dinov2-base",
        revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        files=_FILES,
    ),
    licence="Apache-2.0",
    size_bytes=346_000_000,
)
DINO_V3_LARGE = ModelRequirement(
    role=ROLE,
    name="dinov3-vitl16-pretrain-lvd1689m",
    origin=Repository(
        "facebook/dinov3-vitl16-pretrain-lvd1689m",
        revision="ea8dc2863c51be0a264bab82070e3e8836b02d51",
        files=_FILES,
    ),
    licence="DINOv3 License",
    size_bytes=1_213_000_000,
)


class EmbedWithDino(Operation[EmbeddingParams, Embedding]):
    """What the three have in common."""

    params = EmbeddingParams
    result = Embedding
    version = "1"
    requires = ("torch", "transformers", "safetensors")
    extra = "opsin[models]"
    accelerates = True


class EmbedDinoV2(EmbedWithDino):
    """The class token of DINOv2."""

    name = "embed_dino_v2"
    description = "Embeds the picture with DINOv2 ViT-B/14, made for likeness without words."
    models = (DINO_V2_BASE,)

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.dino.runner import DinoV2Runner

        return DinoV2Runner(context)


class EmbedDinoV3(EmbedWithDino):
    """The class token of DINOv3."""

    name = "embed_dino_v3"
    description = "Embeds the picture with DINOv3 ViT-L/16: its class token."
    models = (DINO_V3_LARGE,)

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.dino.runner import DinoV3Runner

        return DinoV3Runner(context)


class EmbedDinoV3Patch(EmbedWithDino):
    """The mean of DINOv3's other tokens."""

    name = "embed_dino_v3_patch"
    description = "Embeds the picture with DINOv3 ViT-L/16: the mean of its patch tokens."
    models = (DINO_V3_LARGE,)

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.dino.runner import DinoV3PatchRunner

        return DinoV3PatchRunner(context)


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [EmbedDinoV2(), EmbedDinoV3(), EmbedDinoV3Patch()]
