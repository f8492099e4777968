"""One batch: bisection, memory, and the number of answers."""

from typing import Any

import pytest

from opsin.core.engine.batch_size import BatchSize
from opsin.core.engine.batching import Failure
from opsin.core.engine.execution import encode_answers, run_batch
from opsin.core.errors import InvalidImage, OperationFailed
from tests.core.engine.workbench import Plain

WHAT = "operation 'x'"


class Recorder:
    """Doubles numbers; some of them it cannot stand."""

    def __init__(self, bad: set[int], error: type[BaseException] = ValueError) -> None:
        self.bad, self.error = bad, error
        self.batches: list[list[int]] = []

    def __call__(self, batch: list[int]) -> list[int]:
        self.batches.append(list(batch))
        for number in batch:
            if number in self.bad:
                raise self.error(f"no {number}")
        return [number * 2 for number in batch]


def run(answer: Any, batch: list[int], size: BatchSize | None = None) -> list[Any]:
    return run_batch(Plain(answer), batch, WHAT, size or BatchSize(16))


@pytest.mark.parametrize("bad", [set(), {0}, {7}, {3, 4}, {0, 2, 5, 7}, set(range(8))])
def test_only_what_is_bad_fails(bad: set[int]) -> None:
    recorder = Recorder(bad)
    answers = run(recorder, list(range(8)))
    assert len(answers) == 8
    for number, answer in enumerate(answers):
        if number in bad:
            assert isinstance(answer, Failure)
            assert answer.error.message == f"{WHAT} failed: ValueError: no {number}"
        else:
            assert answer == number * 2


def test_one_bad_item_costs_few_runs() -> None:
    recorder = Recorder({5})
    run(recorder, list(range(16)))
    assert len(recorder.batches) == 1 + 2 * 4  # one split per halving


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_not_even_an_exit_gets_out(error: type[BaseException]) -> None:
    answers = run(Recorder({1}, error), [0, 1])
    assert answers[0] == 0
    assert isinstance(answers[1].error, OperationFailed)


def test_an_error_raised_on_purpose_passes_through() -> None:
    answers = run(Recorder({1}, InvalidImage), [0, 1, 2])
    assert isinstance(answers[1].error, InvalidImage)
    assert answers[1].error.message == "no 1"


@pytest.mark.parametrize(
    ("outputs", "got"),
    [([1], "1 outputs"), ([1, 2, 3, 4], "4 outputs"), ([], "0 outputs"), (None, "a NoneType")],
)
def test_a_wrong_number_of_outputs_fails_all_and_says_so(outputs: Any, got: str) -> None:
    calls = []

    def answer(batch: list[int]) -> Any:
        calls.append(batch)
        return outputs

    answers = run(answer, [1, 2, 3])
    assert [a.error.message for a in answers] == [f"{WHAT} returned {got} for a batch of 3"] * 3
    assert len(calls) == 1  # it would only do so again


def test_any_sequence_of_outputs_will_do() -> None:
    assert run(lambda batch: (n + 1 for n in batch), [1, 2]) == [2, 3]


def test_too_large_a_batch_is_halved_and_the_size_remembered() -> None:
    size, batches = BatchSize(16), []

    def answer(batch: list[int]) -> list[int]:
        batches.append(len(batch))
        if len(batch) > 3:
            raise MemoryError
        return batch

    assert run(answer, list(range(16)), size) == list(range(16))
    assert size.limit == 2
    assert batches[:4] == [16, 8, 4, 2]
    assert batches.count(2) == 8


def test_one_item_that_does_not_fit_fails_alone() -> None:
    size = BatchSize(4)
    answers = run(Recorder({1}, MemoryError), [0, 1, 2, 3], size)
    assert [isinstance(a, Failure) for a in answers] == [False, True, False, False]
    assert size.limit == 1  # and never less
    run(Recorder({1}, MemoryError), [1], size)
    assert size.limit == 1


def test_other_errors_leave_the_size_alone() -> None:
    size = BatchSize(4)
    run(Recorder({1}), [0, 1, 2, 3], size)
    assert size.limit == 4


class Encoding(Plain):
    """Its outputs become texts; a thirteen cannot."""

    def encode(self, output: Any) -> Any:
        if output == 13:
            raise SystemExit("unlucky")
        return str(output)


def test_an_output_that_cannot_be_encoded_fails_alone() -> None:
    before = Failure(OperationFailed("was bad from the start"))
    runner = Encoding(lambda batch: batch)
    good, bad, failed = encode_answers(runner, [1, 13, before], WHAT)
    assert good == "1"
    assert isinstance(bad, Failure) and "SystemExit: unlucky" in bad.error.message
    assert failed is before
