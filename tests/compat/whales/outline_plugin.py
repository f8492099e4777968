"""Operations that outline: a rectangle of every picture, and one that always fails."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue

from opsin import (
    Annotation,
    Item,
    LoadContext,
    Operation,
    OperationFailed,
    Params,
    Result,
    Runner,
    hookimpl,
)
from opsin.core.plugin_host import PluginSource

SOURCE = PluginSource("outline", "tests.compat.whales.outline_plugin")


class Outline(Result):
    """A rectangle as a polygon, and one column as run lengths."""

    annotation_types = ("segmentation",)

    height: int
    width: int

    def annotations(self) -> Sequence[Annotation]:
        corners: JsonValue = [[10, 10], [40, 10], [40, 30], [10, 30]]
        runs: JsonValue = {
            "size": [self.height, self.width],
            "counts": [0, 5, self.height * self.width - 5],
        }
        return (
            Annotation(annotation_type="segmentation", data={"points": corners}),
            Annotation(annotation_type="segmentation", data={"rle": runs}),
        )


class OutlineRunner(Runner[Params, Outline]):
    """Says the same of every picture."""

    def prepare(self, item: Item[Params]) -> Item[Params]:
        return item

    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Outline]:
        return [
            Outline(height=item.picture.shape[0], width=item.picture.shape[1]) for item in batch
        ]

    def encode(self, output: Outline) -> Outline:
        return output


class FailingRunner(OutlineRunner):
    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Outline]:
        raise OperationFailed("no outline today")


class OutlineSquare(Operation[Params, Outline]):
    name = "outline_square"
    version = "1"
    description = "Outlines a rectangle."
    result = Outline

    def load(self, context: LoadContext) -> Runner[Params, Outline]:
        return OutlineRunner()


class OutlineNothingWell(OutlineSquare):
    name = "outline_nothing_well"
    description = "Fails."

    def load(self, context: LoadContext) -> Runner[Params, Outline]:
        return FailingRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [OutlineSquare(), OutlineNothingWell()]
