"""Describe image: a caption for the picture or a part of it, written by an image-to-text model."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from opsin import (
    Annotation,
    LoadContext,
    ModelRequirement,
    Operation,
    Params,
    Repository,
    Result,
    Runner,
    hookimpl,
)

ROLE = "captioner"
LONGEST = 512
"""Tokens; also the positions that BLIP's decoder has."""


def _within_bounds(length: int) -> int:
    return min(max(length, 1), LONGEST)


class CaptionParams(Params):
    max_length: Annotated[int, AfterValidator(_within_bounds)] = Field(
        default=50,
        description="the most tokens a caption may have, its start and the prompt included; "
        f"what is not from 1 to {LONGEST} is taken as the nearer of these",
    )
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="the words to begin with or, for a model that takes instructions, what to do",
    )
    num_beams: int | None = Field(
        default=None,
        ge=1,
        le=8,
        description="beams of the search, 1 for greedy; when absent, as the model is configured",
    )


class Caption(Result):
    """What the picture shows, in words; written by a model, so possibly wrong."""

    annotation_types = ("caption",)

    text: str
    truncated: bool = Field(description="whether it broke off at `max_length`")

    def annotations(self) -> Sequence[Annotation]:
        return [Annotation(annotation_type="caption", data={"text": self.text})]


class DescribeImage(Operation[CaptionParams, Caption]):
    """A caption by BLIP, or by the model that the operator configured."""

    name = "describe_image"
    version = "1"
    description = "Describes what the picture shows in one sentence."
    params = CaptionParams
    result = Caption
    requires = ("torch", "torchvision", "transformers")
    extra = "opsin[models]"
    accelerates = True
    compiles = False  # every token of a caption is another shape
    models = (
        ModelRequirement(
            role=ROLE,
            name="blip-image-captioning-large",
            origin=Repository(
                repository="Salesforce/blip-image-captioning-large",
                revision="2227ac38c9f16105cb0412e7cab4759978a8fd90",
                files=(
                    "config.json",
                    "preprocessor_config.json",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "model.safetensors",
                ),
            ),
            licence="BSD-3-Clause",
            size_bytes=1_879_000_000,
        ),
    )

    def load(self, context: LoadContext) -> Runner[CaptionParams, Caption]:
        from opsin.plugins.caption.runner.captioner import load_captioner
        from opsin.plugins.caption.runner.writing import CaptionRunner

        return CaptionRunner(load_captioner(context))


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [DescribeImage()]
