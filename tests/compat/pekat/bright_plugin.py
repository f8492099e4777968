"""Operations that look at bright pixels, each giving findings of another kind."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field, JsonValue, PrivateAttr

from opsin import (
    Annotation,
    Item,
    LoadContext,
    Operation,
    Params,
    ProducedArtifact,
    Result,
    Runner,
    hookimpl,
)
from opsin.core.plugin_host import PluginSource

SOURCE = PluginSource("bright", "tests.compat.pekat.bright_plugin")
BRIGHT = 200
CONFIDENCE = 0.875
RED = (255, 0, 0)


class BrightParams(Params):
    copies: int = Field(default=1, ge=1, description="how often the box is told")


class BrightBox(Result):
    """The box of the bright pixels, if there are any."""

    annotation_types = ("bounding_box",)

    bbox: list[int] | None
    copies: int
    ratio: float

    def annotations(self) -> Sequence[Annotation]:
        if self.bbox is None:
            return ()
        data: dict[str, JsonValue] = {"bbox": [*self.bbox], "format": "xywh"}
        one = Annotation(
            annotation_type="bounding_box", data=data, class_name="bright", confidence=CONFIDENCE
        )
        return [one] * self.copies


class Tone(Result):
    """Whether most of the picture is bright."""

    annotation_types = ("classification",)

    tone: str

    def annotations(self) -> Sequence[Annotation]:
        return (Annotation(annotation_type="classification", data={}, class_name=self.tone),)


class BrightShape(Result):
    """A triangle in the upper left quarter, and a mask that is one column."""

    annotation_types = ("segmentation",)

    width: int
    height: int

    def annotations(self) -> Sequence[Annotation]:
        half_width, half_height = self.width // 2, self.height // 2
        return (
            Annotation(
                annotation_type="segmentation",
                data={"points": [[0, 0], [half_width, 0], [0, half_height]]},
                class_name="corner",
                confidence=0.5,
            ),
            Annotation(
                annotation_type="segmentation",
                data={
                    "rle": {
                        "size": [self.height, self.width],
                        "counts": [self.height * (self.width - 1), self.height],
                    }
                },
                class_name="last column",
            ),
        )


class BrightHeat(Result):
    """The luma as a heatmap."""

    annotation_types = ("heatmap",)

    _png: bytes = PrivateAttr(default=b"")

    def annotations(self) -> Sequence[Annotation]:
        return (Annotation(annotation_type="heatmap", data={}, storage_path="heat.png"),)

    def artifacts(self) -> Sequence[ProducedArtifact]:
        return (ProducedArtifact("heat.png", "image/png", self._png),)


class _Runner(Runner[Any, Any]):
    uses_device = False

    def __init__(self, operation: "_Bright") -> None:
        self._operation = operation

    def run(self, batch: Sequence[Item[Any]]) -> Sequence[Result]:
        return [self._operation.one(item) for item in batch]


class _Bright(Operation[Any, Any]):
    version = "1"
    description = "Looks at bright pixels."

    def load(self, context: LoadContext) -> _Runner:
        return _Runner(self)

    def one(self, item: Item[Any]) -> Result:
        raise NotImplementedError


class FindBright(_Bright):
    name = "find_bright"
    params = BrightParams
    result = BrightBox

    def one(self, item: Item[BrightParams]) -> BrightBox:
        rows, columns = np.nonzero(item.picture.min(axis=2) >= BRIGHT)
        ratio = len(rows) / (item.picture.shape[0] * item.picture.shape[1])
        if not len(rows):
            return BrightBox(bbox=None, copies=0, ratio=float("nan"))
        left, top = int(columns.min()), int(rows.min())
        sides = int(columns.max()) - left + 1, int(rows.max()) - top + 1
        return BrightBox(bbox=[left, top, *sides], copies=item.params.copies, ratio=ratio)


class JudgeTone(_Bright):
    name = "judge_tone"
    result = Tone

    def one(self, item: Item[Params]) -> Tone:
        return Tone(tone="light" if item.picture.mean() >= 128 else "dark")


class OutlineBright(_Bright):
    name = "outline_bright"
    result = BrightShape

    def one(self, item: Item[Params]) -> BrightShape:
        height, width = item.picture.shape[:2]
        return BrightShape(width=width, height=height)


class HeatOfLuma(_Bright):
    name = "heat_of_luma"
    result = BrightHeat

    def one(self, item: Item[Params]) -> BrightHeat:
        encoded = io.BytesIO()
        Image.fromarray(item.picture).convert("L").save(encoded, "PNG")
        heat = BrightHeat()
        heat._png = encoded.getvalue()
        return heat


class RefuseRed(_Bright):
    """Fails on a picture that begins with a red pixel."""

    name = "refuse_red"
    result = Tone

    def one(self, item: Item[Params]) -> Tone:
        if tuple(item.picture[0, 0].tolist()) == RED:
            raise ValueError("red is refused")
        return Tone(tone="no red")


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [FindBright(), JudgeTone(), OutlineBright(), HeatOfLuma(), RefuseRed()]
