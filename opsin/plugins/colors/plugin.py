"""Dominant colours: the few colours a picture is made of, each with its share."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from opsin import Annotation, LoadContext, Operation, Params, Result, Runner, hookimpl


class DominantColorsParams(Params):
    """How many colours, and how different they must be."""

    count: int = Field(default=5, ge=1, le=16, description="at most this many colours")
    merge_below: float = Field(
        default=2.3,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="colours nearer than this (Delta E*ab, CIE 1976) count as one; "
        "2.3 is just noticeable",
    )


class DominantColor(BaseModel):
    """One colour, in 8-bit sRGB."""

    model_config = ConfigDict(frozen=True)

    hex: str = Field(description="#rrggbb", pattern="^#[0-9a-f]{6}$")
    red: int = Field(ge=0, le=255)
    green: int = Field(ge=0, le=255)
    blue: int = Field(ge=0, le=255)
    share: float = Field(description="share of the pixels, above 0 to 1", gt=0, le=1)


class DominantColors(Result):
    """The colours, largest share first; fewer than asked when the picture has no more."""

    annotation_types = ("metric",)

    colors: list[DominantColor] = Field(description="by share, largest first; shares add up to 1")

    def annotations(self) -> Sequence[Annotation]:
        return [
            Annotation(
                annotation_type="metric",
                class_name=color.hex,
                data={"name": "dominant_color", "value": color.share, "unit": "fraction"},
                ordering=ordering,
            )
            for ordering, color in enumerate(self.colors)
        ]


class FindDominantColors(Operation[DominantColorsParams, DominantColors]):
    """The colours of one picture, or of the person or face in it."""

    name = "dominant_colors"
    version = "1"
    description = "Finds the few colours that a picture is made of, and the share of each."
    params = DominantColorsParams
    result = DominantColors

    def load(self, context: LoadContext) -> Runner[DominantColorsParams, DominantColors]:
        from opsin.plugins.colors.runner import DominantColorsRunner

        return DominantColorsRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [FindDominantColors()]
