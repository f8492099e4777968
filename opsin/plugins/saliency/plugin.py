"""Saliency: where a picture draws the eye, as a peak, a box and a heatmap."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr

from opsin import (
    Annotation,
    Box,
    LoadContext,
    Operation,
    Params,
    ProducedArtifact,
    Result,
    Runner,
    hookimpl,
)

HEATMAP_NAME = "saliency.png"


class SaliencyParams(Params):
    """How much of the saliency the box must hold."""

    focus_share: float = Field(
        default=0.5, gt=0, le=1, description="share of all saliency that `focus_box` must hold"
    )


class SaliencyPeak(BaseModel):
    """A pixel of the whole displayed picture."""

    model_config = ConfigDict(frozen=True)

    x: int
    y: int


class Saliency(Result):
    """What stands out; peak, box and entropy are null where nothing does, as in a plain picture."""

    annotation_types = ("heatmap",)

    peak: SaliencyPeak | None = Field(
        default=None, description="the most salient place, in pixels of the whole picture"
    )
    focus_box: Box | None = Field(
        default=None,
        description="the smallest box that holds `focus_share` of the saliency, "
        "in pixels of the whole picture",
    )
    entropy: float | None = Field(
        default=None,
        description="how spread the saliency is: 0 all in one place, 1 the same everywhere",
    )

    _heatmap: bytes | None = PrivateAttr(default=None)

    def with_heatmap(self, png: bytes) -> "Saliency":
        """This result with the file of its map, which is no part of its JSON."""
        copy = self.model_copy()
        copy._heatmap = png
        return copy

    def annotations(self) -> Sequence[Annotation]:
        data: dict[str, JsonValue] = {}
        if self.region is not None:
            data["bbox"], data["format"] = _xywh(self.region), "xywh"
        if self.peak is not None:
            data["peak"] = [self.peak.x, self.peak.y]
        if self.focus_box is not None:
            data["focus_box"] = _xywh(self.focus_box)
        return (
            Annotation(
                annotation_type="heatmap",
                class_name="saliency",
                data=data,
                # Read back from its JSON, a result has no file to name.
                storage_path=None if self._heatmap is None else HEATMAP_NAME,
            ),
        )

    def artifacts(self) -> Sequence[ProducedArtifact]:
        if self._heatmap is None:
            return ()
        return (ProducedArtifact(HEATMAP_NAME, "image/png", self._heatmap),)


class FindSaliency(Operation[SaliencyParams, Saliency]):
    """The saliency of one picture, or of the person or face in it."""

    name = "saliency"
    version = "1"
    description = "Finds where the picture draws the eye, with a heatmap (spectral residual)."
    params = SaliencyParams
    result = Saliency

    def load(self, context: LoadContext) -> Runner[SaliencyParams, Saliency]:
        from opsin.plugins.saliency.runner import SaliencyRunner

        return SaliencyRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [FindSaliency()]


def _xywh(box: Box) -> list[JsonValue]:
    return [box.x_min, box.y_min, box.width, box.height]
