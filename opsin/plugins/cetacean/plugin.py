"""Whales and dolphins: is it one, its embedding, and which individual it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opsin import (
    Embedding,
    EmbeddingParams,
    LoadContext,
    Operation,
    Params,
    ReferenceKind,
    ReferenceRequest,
    Runner,
    Target,
    hookimpl,
)
from opsin.core.errors import ConfigurationError
from opsin.plugins.cetacean.manifest import DEFAULT, Pipeline
from opsin.plugins.cetacean.requirements import packages_of, requirements_of
from opsin.plugins.cetacean.results import (
    EMBED,
    IDENTIFY,
    SCREEN,
    CetaceanIdentification,
    CetaceanIdentificationParams,
    CetaceanScreening,
)

MANIFEST_OPTION = "manifest"


class ScreenCetacean(Operation[Params, CetaceanScreening]):
    """The gate alone."""

    name = SCREEN
    description = "Says whether the picture shows a whale or dolphin (CLIP, zero-shot)."
    result = CetaceanScreening
    targets = (Target.WHOLE_IMAGE,)
    extra = "opsin[models]"
    accelerates = True

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.version = pipeline.screening_version
        _needs(self, "gate")

    def load(self, context: LoadContext) -> Runner[Params, CetaceanScreening]:
        from opsin.plugins.cetacean.runner.screening import ScreeningRunner

        return ScreeningRunner(self.pipeline, context)


class EmbedCetacean(Operation[EmbeddingParams, Embedding]):
    """Detector and embedder; what galleries are made of."""

    name = EMBED
    description = "Embeds the whale or dolphin so that pictures of one individual are near."
    params = EmbeddingParams
    result = Embedding
    targets = (Target.WHOLE_IMAGE,)
    extra = "opsin[models]"
    accelerates = True

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.version = pipeline.embedding_version
        _needs(self, "detector", "embedder")

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.cetacean.runner.embedding import EmbeddingRunner

        return EmbeddingRunner(self.pipeline, context)


class IdentifyCetacean(Operation[CetaceanIdentificationParams, CetaceanIdentification]):
    """The whole pipeline."""

    name = IDENTIFY
    description = "Says which known whale or dolphin the picture shows, if any."
    params = CetaceanIdentificationParams
    result = CetaceanIdentification
    targets = (Target.WHOLE_IMAGE,)
    extra = "opsin[models]"
    accelerates = True

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.version = pipeline.identification_version
        _needs(self, "gate", "detector", "embedder", "prototypes")

    def reference(self, params: CetaceanIdentificationParams) -> ReferenceRequest | None:
        if params.gallery is None:
            return None
        return ReferenceRequest(ReferenceKind.GALLERY, params.gallery)

    def load(
        self, context: LoadContext
    ) -> Runner[CetaceanIdentificationParams, CetaceanIdentification]:
        from opsin.plugins.cetacean.runner.identification import IdentificationRunner

        return IdentificationRunner(self.pipeline, context)


@hookimpl
def opsin_operations(options: Mapping[str, Any]) -> Iterable[Operation[Any, Any]]:
    pipeline = Pipeline.read(_manifest(options))
    gate = () if pipeline.manifest.gate is None else (ScreenCetacean(pipeline),)
    return [*gate, EmbedCetacean(pipeline), IdentifyCetacean(pipeline)]


def _needs(operation: Operation[Any, Any], *stages: str) -> None:
    """Declare the packages and weights of those stages that the manifest has."""
    pipeline: Pipeline = vars(operation)["pipeline"]
    # Other operations declare these in the class; here they go by the manifest.
    vars(operation).update(
        requires=packages_of(pipeline.manifest, stages),
        models=requirements_of(pipeline.manifest, pipeline.folder, stages),
    )


def _manifest(options: Mapping[str, Any]) -> Path:
    unknown = sorted(set(options) - {MANIFEST_OPTION})
    if unknown:
        raise ConfigurationError(
            f"cetacean has no option {unknown[0]!r}; it has {MANIFEST_OPTION!r}"
        )
    if MANIFEST_OPTION not in options:
        return DEFAULT
    file = options[MANIFEST_OPTION]
    if not isinstance(file, str) or not file:
        raise ConfigurationError(f"cetacean: {MANIFEST_OPTION} must be the path of a file")
    return Path(file).expanduser()
