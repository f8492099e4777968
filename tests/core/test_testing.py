"""What plugin authors get to test with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from opsin.core.contract import (
    Box,
    Classifier,
    Input,
    Item,
    LoadContext,
    Operation,
    Params,
    ReferenceKind,
    ReferenceRequest,
    Region,
    Result,
    Runner,
    Target,
)
from opsin.core.errors import TargetNotSupported
from opsin.core.testing import FakeOperation, FakeResult, Script, run_operation

PICTURE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
BOX = Box(x_min=2, y_min=1, x_max=5, y_max=99)


class BrightnessParams(Params):
    scale: float = 1.0


class Brightness(Result):
    value: float


class BrightnessRunner(Runner[BrightnessParams, Brightness]):
    def __init__(self) -> None:
        self.closed = False

    def prepare(self, item: Item[BrightnessParams]) -> tuple[float, float]:
        return float(item.picture.mean()), item.params.scale

    def run(self, batch: Sequence[tuple[float, float]]) -> Sequence[Brightness]:
        return [Brightness(value=mean * scale) for mean, scale in batch]

    def close(self) -> None:
        self.closed = True


class MeasureBrightness(Operation[BrightnessParams, Brightness]):
    name = "measure_brightness"
    version = "1"
    description = "Mean of all samples."
    params = BrightnessParams
    result = Brightness
    targets = (Target.WHOLE_IMAGE, Target.PROMINENT_PERSON)

    def load(self, context: LoadContext) -> BrightnessRunner:
        assert context.device == "cpu"
        self.runner = BrightnessRunner()
        return self.runner


def test_an_operation_is_tried_in_one_line() -> None:
    operation = MeasureBrightness()
    result = run_operation(operation, PICTURE, {"scale": 2})
    assert result == Brightness(value=PICTURE.mean() * 2)
    assert operation.runner.closed
    assert run_operation(operation, PICTURE, BrightnessParams(scale=0)).value == 0
    assert run_operation(operation, PICTURE).value == PICTURE.mean()


def test_a_region_is_cropped_and_told_as_the_engine_does() -> None:
    result = run_operation(MeasureBrightness(), PICTURE, {"target": "prominent_person"}, region=BOX)
    assert result.value == PICTURE[1:6, 2:5].mean()
    assert result.region == Box(x_min=2, y_min=1, x_max=5, y_max=6)
    whole = run_operation(FakeOperation(crop=False), PICTURE, region=BOX)
    assert (whole.width, whole.region, whole.seen_region) == (8, None, result.region)


def test_what_an_author_got_wrong_comes_through_as_it_is() -> None:
    with pytest.raises(ValidationError):
        run_operation(MeasureBrightness(), PICTURE, {"scale": "x"})
    with pytest.raises(TargetNotSupported):
        run_operation(MeasureBrightness(), PICTURE, {"target": "prominent_face"})
    error = ZeroDivisionError("on purpose")
    script = Script(fails=lambda item: error)
    with pytest.raises(ZeroDivisionError):
        run_operation(FakeOperation(script=script), PICTURE)
    assert script.closes == 1


@pytest.mark.parametrize(("outputs", "words"), [([], "returned 0 outputs"), (["x"], "is not a")])
def test_a_runner_that_breaks_its_contract(outputs: list[Any], words: str) -> None:
    class Odd(Runner[Any, Any]):
        def run(self, batch: Sequence[Any]) -> Sequence[Any]:
            return outputs

    with pytest.raises(AssertionError, match=words):
        run_operation(FakeOperation(runner=lambda script: Odd()), PICTURE)


def test_fakes_keep_count() -> None:
    operation = FakeOperation("other", Script(max_batch=3), version="9")
    runner = operation.load(LoadContext("cpu"))
    assert (operation.name, operation.version, runner.max_batch) == ("other", "9", 3)
    item = Item(PICTURE, operation.params(mark=4), region=Region(BOX, 1.0))
    (result,) = runner.run([item])
    assert (result.mark, result.width, result.height, result.batch_size) == (4, 8, 6, 1)
    assert operation.script.marks == [[4]]
    assert operation.script.loads == 1


def test_inputs_and_a_reference_reach_the_runner() -> None:
    trained = Classifier("7", "digest", (Input("a"), Input("b")), ("f", "f"), np.zeros(2), 0.0)
    operation = FakeOperation(
        reference=lambda params: ReferenceRequest(ReferenceKind.CLASSIFIER, "7"),
        inputs=lambda params, reference: reference.inputs,
    )
    given = [FakeResult(mark=mark, width=1, height=1, batch_size=1) for mark in (3, 4)]
    result = run_operation(operation, PICTURE, inputs=given, reference=trained)
    assert (result.seen_inputs, result.seen_reference) == ((3, 4), "digest")
    with pytest.raises(AssertionError, match="needs a reference"):
        run_operation(operation, PICTURE, inputs=given)
    with pytest.raises(AssertionError, match=r"needs the results of \['a', 'b'\]"):
        run_operation(operation, PICTURE, inputs=given[:1], reference=trained)


def test_without_a_picture_region_and_note_are_those_of_an_input() -> None:
    operation = FakeOperation(
        uses_picture=False, inputs=lambda params, reference: [Input("a"), Input("b")]
    )
    plain = FakeResult(mark=1, width=1, height=1, batch_size=1)
    found = plain.model_copy(update={"region": BOX, "note": "nobody"})
    result = run_operation(operation, PICTURE, inputs=[plain, found], region=BOX)
    assert (result.region, result.note, result.seen_region) == (BOX, "nobody", None)
    assert (result.width, result.height) == (8, 6)


def test_progress_is_heard() -> None:
    class Writer(Runner[Any, FakeResult]):
        def run(self, batch: Sequence[Item[Any]]) -> Sequence[FakeResult]:
            for item in batch:
                item.progress("a whale")
            return [FakeResult(mark=0, width=1, height=1, batch_size=1)] * len(batch)

    heard: list[str] = []
    operation = FakeOperation(runner=lambda script: Writer())
    run_operation(operation, PICTURE, progress=heard.append)
    assert heard == ["a whale"]
    run_operation(operation, PICTURE)
