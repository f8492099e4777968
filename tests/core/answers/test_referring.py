"""Stored references: looked up for the company, handed to the runner, or told as missing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from opsin.core.answers.referring import with_references
from opsin.core.contract import Classifier, Input, Reference, ReferenceKind, ReferenceRequest
from opsin.core.engine import Outcome, Task, TaskStatus, make_task
from opsin.core.errors import (
    NotFound,
    OperationFailed,
    OperationUnavailable,
    OpsinError,
    StorageError,
)
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.conftest import workbench as workbench
from tests.core.engine.workbench import Workbench, message_of, result_of
from tests.core.given_plugins import house_of
from tests.core.house import add_image, ask
from tests.core.working import found as stored_as


def classifier(digest: str, *inputs: Input) -> Classifier:
    return Classifier("7", digest, inputs, ("f",) * len(inputs), np.zeros(1), 0.0)


def wanting(kind: ReferenceKind = ReferenceKind.CLASSIFIER) -> Any:
    """`Operation.reference` of an operation that needs one when `mark` is above 0."""

    def reference(params: Any) -> ReferenceRequest | None:
        return ReferenceRequest(kind, str(params.mark)) if params.mark else None

    return reference


class Store:
    """The references of companies, and who asked for what."""

    def __init__(self, known: dict[tuple[str, str], Reference | OpsinError]) -> None:
        self.known = known
        self.asked: list[tuple[str, str]] = []

    async def find(self, company_id: str, request: ReferenceRequest) -> Reference:
        self.asked.append((company_id, request.collection))
        found = self.known.get((company_id, request.collection), NotFound("there is none"))
        if isinstance(found, OpsinError):
            raise found
        return found


async def outcomes(
    bench: Workbench, store: Store | None, tasks: Sequence[Task]
) -> tuple[Outcome, ...]:
    complete = await with_references(tasks, "ours", store)
    assert [task.task_id for task in complete] == [task.task_id for task in tasks]
    return (await bench.run(*complete)).outcomes


async def test_each_task_gets_what_its_params_name(workbench: MakeWorkbench) -> None:
    bench = workbench(FakeOperation(reference=wanting()), FakeOperation("plain"))
    store = Store({("ours", "1"): classifier("one"), ("ours", "2"): classifier("two")})
    tasks = [bench.task(mark=mark) for mark in (1, 2, 0, 1)]
    found = await outcomes(bench, store, [*tasks, bench.task("plain", 1)])
    seen = [result_of(outcome).seen_reference for outcome in found]
    assert seen == ["one", "two", None, "one", None]
    assert store.asked == [("ours", "1"), ("ours", "2")]  # once for both


@pytest.mark.parametrize("error", [NotFound("there is none"), StorageError("damaged")])
async def test_one_that_cannot_be_had_is_that_tasks_error(
    workbench: MakeWorkbench, error: OpsinError
) -> None:
    operation = FakeOperation(reference=wanting())
    bench = workbench(operation)
    store = Store({("ours", "2"): error, ("theirs", "2"): classifier("theirs")})
    store.known["ours", "1"] = classifier("one")
    fine, missing, again = await outcomes(
        bench, store, [bench.task(mark=mark) for mark in (1, 2, 2)]
    )
    assert result_of(fine).seen_reference == "one"
    for outcome in (missing, again):
        assert (outcome.status, type(outcome.error)) == (TaskStatus.ERROR, type(error))
        assert message_of(outcome) == error.message
        assert outcome.provenance.operation == "fake"
    assert [item.params.mark for batch in operation.script.batches for item in batch] == [1]
    assert bench.engine._requests.admission.accepted == 0


async def test_without_a_store_who_needs_a_reference_is_refused(workbench: MakeWorkbench) -> None:
    bench = workbench(
        FakeOperation(reference=wanting(ReferenceKind.GALLERY)),
        FakeOperation(
            "asking", inputs=lambda params, reference: [Input("fake", params={"mark": 3})]
        ),
    )
    tasks = [bench.task(mark=2), bench.task(), bench.task("asking")]
    missing, fine, asking = await outcomes(bench, None, tasks)
    assert type(missing.error) is type(asking.error) is OperationUnavailable
    assert message_of(missing) == "fake needs the gallery '2', and there is none here"
    assert message_of(asking) == "fake needs the gallery '3', and there is none here"
    assert fine.status is TaskStatus.SUCCESS


async def test_inputs_may_come_from_the_reference(workbench: MakeWorkbench) -> None:
    """As a classifier knows which embeddings it was trained on."""
    inputs = Input("see", params={"mark": 4}), Input("see", params={"mark": 5})
    operation = FakeOperation(
        reference=wanting(), inputs=lambda params, reference: reference.inputs, uses_picture=False
    )
    bench = workbench(FakeOperation("see"), operation)
    store = Store({("ours", "1"): classifier("one", *inputs)})
    (outcome,) = await outcomes(bench, store, [bench.task(mark=1)])
    assert result_of(outcome).seen_inputs == (4, 5)


async def test_an_operation_that_cannot_say_what_it_needs_fails_alone(
    workbench: MakeWorkbench,
) -> None:
    def broken(params: Any) -> ReferenceRequest | None:
        raise SystemExit(3)

    bench = workbench(FakeOperation("broken", reference=broken), FakeOperation())
    for store in (None, Store({})):
        bad, fine = await outcomes(bench, store, [bench.task("broken"), bench.task()])
        assert type(bad.error) is OperationFailed
        assert message_of(bad) == "operation 'broken' failed: SystemExit: 3"
        assert fine.status is TaskStatus.SUCCESS


async def test_a_store_that_is_broken_is_not_a_tasks_fault(workbench: MakeWorkbench) -> None:
    class Broken(Store):
        async def find(self, company_id: str, request: ReferenceRequest) -> Reference:
            raise ZeroDivisionError

    bench = workbench(FakeOperation(reference=wanting()))
    task = make_task(bench.host, "1", "fake", {"mark": 1})
    with pytest.raises(ZeroDivisionError):
        await with_references([task], "ours", Broken({}))


async def test_asked_at_once_and_queued(settings: Settings) -> None:
    """Both ways look in the same store, for the company that asks."""
    operation = FakeOperation(reference=wanting())
    async with house_of(settings, operation) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        immediate = parts.use_cases.immediate
        store = Store({(principal.company_id, "1"): classifier("one")})
        # Real ones first: there is no such collection in the database.
        tasks = [make_task(parts.use_cases.host, "t", "fake", {"mark": mark}) for mark in (1, 0)]
        source = PictureSource(image_id=image.id)
        missing, fine = (await immediate.analyze(principal, source, tasks)).outcomes
        assert (type(missing.error), fine.status) == (NotFound, TaskStatus.SUCCESS)
        immediate._references = parts.worker._images.references = store
        found, _ = (await immediate.analyze(principal, source, tasks)).outcomes
        assert result_of(found).seen_reference == "one"
        asked = [(await ask(parts, principal, image, "fake", mark=mark))[0] for mark in (1, 2)]
        assert await parts.worker.drain() == 2
        done, failed = await stored_as(parts, principal, asked)
        assert done.result is not None and done.result["seen_reference"] == "one"
        assert (failed.status, failed.error_code) == (AnalysisStatus.FAILED, "NOT_FOUND")
        assert failed.error_message == "there is none"
