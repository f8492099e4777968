"""Image quality: sharpness, exposure, contrast, noise and colourfulness, without a model."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from opsin import Annotation, LoadContext, Operation, Params, Result, Runner, hookimpl

UNITS = {
    "sharpness": "levels^2",
    "mean_luma": "fraction",
    "clipped_shadows": "fraction",
    "clipped_highlights": "fraction",
    "contrast": "fraction",
    "noise": "levels",
    "colorfulness": "levels",
}
"""Of each measure, in the order of the annotations; a level is 1 of the 255 steps of 8 bits."""


class ImageQualityParams(Params):
    """What counts as clipped; which picture is good enough is for the caller to say."""

    shadow_level: int = Field(
        default=5, ge=0, le=127, description="up to this luma, of 255, a shadow counts as clipped"
    )
    highlight_level: int = Field(
        default=250,
        ge=128,
        le=255,
        description="from this luma, of 255, a highlight counts as clipped",
    )


class ImageQuality(Result):
    """Measures, not marks: no value is good or bad in itself."""

    annotation_types = ("metric",)

    sharpness: float = Field(
        description="variance of the Laplacian, with the longer side brought to 512 pixels"
    )
    mean_luma: float = Field(description="exposure: mean luma, from 0 (black) to 1 (white)")
    clipped_shadows: float = Field(
        description="share of pixels, 0 to 1, with luma at most `shadow_level`"
    )
    clipped_highlights: float = Field(
        description="share of pixels, 0 to 1, with luma at least `highlight_level`"
    )
    contrast: float = Field(
        description="root mean square contrast: standard deviation of luma, 0 to 0.5"
    )
    noise: float | None = Field(
        default=None,
        description="standard deviation of the noise in luma, in levels of 255; "
        "null when a side has less than 3 pixels",
    )
    colorfulness: float = Field(
        description="0 for grey, 33 moderately, 59 quite, 109 extremely colourful"
    )

    def annotations(self) -> Sequence[Annotation]:
        measured = ((name, getattr(self, name), unit) for name, unit in UNITS.items())
        return [
            Annotation(
                annotation_type="metric",
                data={"name": name, "value": value, "unit": unit},
                ordering=ordering,
            )
            for ordering, (name, value, unit) in enumerate(measured)
            if value is not None
        ]


class MeasureImageQuality(Operation[ImageQualityParams, ImageQuality]):
    """The measures of one picture, or of the person or face in it."""

    name = "image_quality"
    version = "1"
    description = "Measures sharpness, exposure, contrast, noise and colourfulness."
    params = ImageQualityParams
    result = ImageQuality

    def load(self, context: LoadContext) -> Runner[ImageQualityParams, ImageQuality]:
        from opsin.plugins.quality.runner import ImageQualityRunner

        return ImageQualityRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [MeasureImageQuality()]
