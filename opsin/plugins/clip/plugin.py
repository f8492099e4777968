"""CLIP: the operations `embed_clip_vit_b_32` and `classify_zero_shot`, and the text embedder."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from opsin import (
    Annotation,
    Embedding,
    EmbeddingParams,
    Input,
    LoadContext,
    ModelRequirement,
    Operation,
    Params,
    Reference,
    Repository,
    Result,
    Runner,
    TextEmbedder,
    hookimpl,
)

EMBED = "embed_clip_vit_b_32"
ROLE = "encoder"
PLACEHOLDER = "{}"
MAX_LABELS = 100

CLIP_VIT_B_32 = ModelRequirement(
    role=ROLE,
    name="clip-vit-base-patch32",
    origin=Repository(
        "openai/clip-vit-base-patch32",
        # `main` has no safetensors; this commit, of the hub's own converter, has.
        revision="c237dc49a33fc61debc9276459120b7eac67e7ef",
        files=("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"),
    ),
    licence="MIT",
    size_bytes=607_000_000,
)

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ZeroShotParams(Params):
    """Which classes there are, each a text of its own."""

    labels: tuple[Text, ...] = Field(
        min_length=1,
        max_length=MAX_LABELS,
        description=f"1 to {MAX_LABELS} different texts, each a class",
    )
    template: Text = Field(
        default="a photo of a {}",
        description="the sentence that each label is put into, in the place of {}",
    )

    @field_validator("labels")
    @classmethod
    def _are_different(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("the labels must be different")
        return labels

    @field_validator("template")
    @classmethod
    def _has_a_place(cls, template: str) -> str:
        if PLACEHOLDER not in template:
            raise ValueError(f"the template must contain {PLACEHOLDER}, the place of the label")
        return template

    def prompts(self) -> list[str]:
        """The sentence for each label, in the labels' order."""
        # Not `format`, which would let a caller reach into Python's objects.
        return [self.template.replace(PLACEHOLDER, label) for label in self.labels]


class LabelScore(BaseModel):
    """How well one label fits."""

    model_config = ConfigDict(frozen=True)

    label: str
    probability: float = Field(
        description="0 to 1, that it is this one of the labels; all add up to 1, even if none fits"
    )
    similarity: float = Field(
        description="cosine of picture and sentence, -1 to 1, whatever the other labels are"
    )


class ZeroShotClassification(Result):
    """Which of the caller's own labels fits a picture, without training."""

    annotation_types = ("classification",)

    labels: tuple[LabelScore, ...] = Field(description="every label, the most probable first")
    model_fingerprint: str = Field(description="sha256 over the model's files")

    def annotations(self) -> Sequence[Annotation]:
        best = self.labels[0]
        return (
            Annotation(
                annotation_type="classification",
                class_name=best.label,
                confidence=best.probability,
                data={"scores": {score.label: score.probability for score in self.labels}},
            ),
        )


class EmbedClip(Operation[EmbeddingParams, Embedding]):
    """The picture, or the person or face in it, as CLIP's vector."""

    name = EMBED
    version = "1"
    description = "Embeds the picture with CLIP ViT-B/32, in one space with texts."
    params = EmbeddingParams
    result = Embedding
    requires = ("torch", "transformers", "safetensors")
    extra = "opsin[models]"
    accelerates = True
    models = (CLIP_VIT_B_32,)

    def load(self, context: LoadContext) -> Runner[EmbeddingParams, Embedding]:
        from opsin.plugins.clip.runner.images import ClipImageRunner

        return ClipImageRunner(context)


class EmbedText(TextEmbedder):
    """Texts as vectors beside those of pictures.

    It has the operation's name, so that one table of `OPSIN_MODELS` replaces the weights of both.
    """

    name = EMBED
    version = "1"
    operation = EMBED
    requires = ("torch", "transformers", "tokenizers", "safetensors")
    extra = "opsin[models]"
    accelerates = True
    models = (CLIP_VIT_B_32,)

    def load(self, context: LoadContext) -> Runner[Any, Embedding]:
        from opsin.plugins.clip.runner.texts import ClipTextRunner

        return ClipTextRunner(context)


class ClassifyZeroShot(Operation[ZeroShotParams, ZeroShotClassification]):
    """Which of the labels fits best; the picture itself is embedded by `embed_clip_vit_b_32`."""

    name = "classify_zero_shot"
    version = "1"
    description = "Says which of the given labels fits the picture best, without training."
    params = ZeroShotParams
    result = ZeroShotClassification
    requires = ("torch", "transformers", "tokenizers", "safetensors")
    extra = "opsin[models]"
    accelerates = True
    models = (CLIP_VIT_B_32,)
    uses_picture = False

    def inputs(self, params: ZeroShotParams, reference: Reference | None) -> Sequence[Input]:
        return (Input(EMBED),)

    def load(self, context: LoadContext) -> Runner[ZeroShotParams, ZeroShotClassification]:
        from opsin.plugins.clip.runner.zero_shot import ZeroShotRunner

        return ZeroShotRunner(context)


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [EmbedClip(), ClassifyZeroShot()]


@hookimpl
def opsin_text_embedders() -> Iterable[TextEmbedder]:
    return [EmbedText()]
