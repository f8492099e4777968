"""Whales and dolphins: is it one, its embedding, and which individual it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from opsin import (
    Acceleration,
    Embedding,
    EmbeddingParams,
    LoadContext,
    Operation,
    Params,
    ReferenceKind,
    ReferenceRequest,
    Result,
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

P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Result)


class CetaceanOperation(Operation[P, R]):
    """What the three share: a pipeline, and needs that go by its manifest."""

    targets = (Target.WHOLE_IMAGE,)
    extra = "opsin[models]"
    accelerates = True
    # A third faster for the embedder's convolutions on a processor, to the same numbers.
    acceleration = Acceleration(channels_last=True)

    def __init__(self, pipeline: Pipeline, version: str, *stages: str) -> None:
        """`stages` are those that it uses, where the manifest has them."""
        self.pipeline = pipeline
        self.version = version
        self.requires = packages_of(pipeline.manifest, stages)
        self.models = requirements_of(pipeline.manifest, pipeline.folder, stages)


class ScreenCetacean(CetaceanOperation[Params, CetaceanScreening]):
    """The gate alone."""

    name = SCREEN
    description = "Says whether the picture shows a whale or dolphin (CLIP, zero-shot)."
    result = CetaceanScreening

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, pipeline.screening_version, "gate")

    def load(self, context: LoadContext) -> Runner[Params, CetaceanScreening]:
        from opsin.plugins.cetacean.runner.screening import ScreeningRunner

        return ScreeningRunner(self.pipeline, context)


class EmbedCetacean(CetaceanOperation[EmbeddingParams, Embedding]):
    """Detector and embedder; what galleries are made of."""

    name = EMBED
    description = "Embeds the whale or dolphin so that pictures of one individual are near."
    params = EmbeddingParams
    result = Embedding

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, pipeline.embedding_version, "detector", "embedder")

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.cetacean.runner.embedding import EmbeddingRunner

        return EmbeddingRunner(self.pipeline, context)


class IdentifyCetacean(CetaceanOperation[CetaceanIdentificationParams, CetaceanIdentification]):
    """The whole pipeline."""

    name = IDENTIFY
    description = "Says which known whale or dolphin the picture shows, if any."
    params = CetaceanIdentificationParams
    result = CetaceanIdentification

    def __init__(self, pipeline: Pipeline) -> None:
        stages = ("gate", "detector", "embedder", "prototypes")
        super().__init__(pipeline, pipeline.identification_version, *stages)

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
