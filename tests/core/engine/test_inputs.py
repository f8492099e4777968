"""Operations that need the results of others: computed first, once, and handed over in order."""

import asyncio
from typing import Any

import pytest

from opsin.core.contract import Box, FaceContext, Input, MissingRegion, Target
from opsin.core.engine import TaskStatus
from opsin.core.errors import (
    DeadlineExceeded,
    OperationFailed,
    OperationUnavailable,
    PluginError,
    RegionNotFound,
    TooLarge,
)
from opsin.core.testing import FakeFinder, FakeOperation, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.test_provenance import model, with_weights
from tests.core.engine.workbench import (
    Plain,
    decoded,
    marks_of,
    message_of,
    result_of,
    until,
)

PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE
THE_PERSON = Box(x_min=20, y_min=10, x_max=60, y_max=90)


def needing(name: str, *inputs: Input, **declared: Any) -> FakeOperation:
    return FakeOperation(name, inputs=lambda params, reference: inputs, **declared)


def marked(operation: str, mark: int, **more: Any) -> Input:
    return Input(operation, params={"mark": mark, **more.pop("params", {})}, **more)


# --- what an operation gets -----------------------------------------------------------------------


async def test_results_come_in_the_order_in_which_they_were_asked_for(
    workbench: MakeWorkbench,
) -> None:
    slow, quick = FakeOperation("slow", Script(latency=0.02)), FakeOperation("quick")
    both = needing("both", marked("slow", 1), marked("quick", 2), marked("slow", 3))
    bench = workbench(slow, quick, both)
    (outcome,) = (await bench.run(bench.task("both", 9))).outcomes
    assert (result_of(outcome).mark, result_of(outcome).seen_inputs) == (9, (1, 2, 3))


async def test_params_choose_the_inputs(workbench: MakeWorkbench) -> None:
    first = FakeOperation("first")
    asking = FakeOperation(
        "asking", inputs=lambda params, reference: [marked("first", params.mark + 1)]
    )
    bench = workbench(first, asking)
    outcomes = (await bench.run(bench.task("asking", 4), bench.task("asking", 7))).outcomes
    assert [result_of(outcome).seen_inputs for outcome in outcomes] == [(5,), (8,)]


async def test_inputs_have_inputs(workbench: MakeWorkbench) -> None:
    parts = [FakeOperation("0"), *(needing(str(n), marked(str(n - 1), n)) for n in range(1, 5))]
    bench = workbench(*parts)
    (outcome,) = (await bench.run(bench.task("4", 5))).outcomes
    assert result_of(outcome).seen_inputs == (4,)
    assert [len(part.script.batches) for part in parts] == [1] * 5


async def test_an_input_looks_where_its_asker_does_unless_it_says(
    workbench: MakeWorkbench,
) -> None:
    whole, face = Input("see", Target.WHOLE_IMAGE), Input("see", FACE)
    see = FakeOperation("see")
    asking = needing("asking", Input("see"), whole, face)
    finders = FakeFinder(PERSON, THE_PERSON), FakeFinder(FACE, THE_PERSON)
    bench = workbench(see, asking, *finders)
    task = bench.task("asking", target=PERSON, face_context="whole_image")
    (outcome,) = (await bench.run(task, source=decoded(100, 100))).outcomes
    assert result_of(outcome).region == THE_PERSON
    seen = {i.target: i for batch in see.script.batches for i in batch}
    assert {target: item.region is not None for target, item in seen.items()} == {
        PERSON: True,
        Target.WHOLE_IMAGE: False,
        FACE: True,
    }
    assert seen[FACE].params.face_context == "whole_image"


async def test_one_without_a_picture_has_the_region_and_note_of_an_input(
    workbench: MakeWorkbench,
) -> None:
    class Noting(FakeRunner):
        def run(self, batch: Any) -> Any:
            return [r.model_copy(update={"note": "sure"}) for r in super().run(batch)]

    first = needing("first", Input("see"), uses_picture=False, runner=Noting)
    whole = marked("see", 1, target=Target.WHOLE_IMAGE)
    second = needing("second", whole, Input("see"), uses_picture=False)
    person = FakeFinder(PERSON, THE_PERSON)
    bench = workbench(FakeOperation("see"), first, second, person, FakeFinder(FACE, None))
    tasks = [bench.task("first", target=PERSON), bench.task("second", target=PERSON)]
    one, two = (await bench.run(*tasks, source=decoded(100, 100))).outcomes
    for outcome in (one, two):
        assert result_of(outcome).region == THE_PERSON
        assert (result_of(outcome).width, result_of(outcome).seen_region) == (100, None)
    assert (result_of(one).note, result_of(two).note) == ("sure", None)
    assert len(person.script.batches) == 1

    bench = workbench(FakeOperation("see"), first, FakeFinder(PERSON, None))
    (outcome,) = (await bench.run(bench.task("first", target=PERSON))).outcomes
    note = "sure; no prominent person was found, the whole image was used"
    assert (result_of(outcome).region, result_of(outcome).note) == (None, note)


@pytest.mark.parametrize("last", ["see", "finder"])
async def test_inputs_and_the_region_are_both_waited_for(
    workbench: MakeWorkbench, last: str
) -> None:
    see = FakeOperation("see", Script(uses_device=False))
    finder = FakeFinder(PERSON, THE_PERSON)
    bench = workbench(see, needing("asking", Input("see", Target.WHOLE_IMAGE)), finder)
    held, other = (see, finder) if last == "see" else (finder, see)
    held.script.running.close()
    request = bench.begin(bench.task("asking", target=PERSON), source=decoded(100, 100))
    await held.script.running.arrival()
    await until(lambda: bool(other.script.batches))
    held.script.running.open()
    (outcome,) = (await request).outcomes
    assert (result_of(outcome).region, result_of(outcome).seen_inputs) == (THE_PERSON, (0,))


# --- once for all ---------------------------------------------------------------------------------


def items(operation: FakeOperation) -> int:
    return sum(len(batch) for batch in operation.script.batches)


async def test_equal_inputs_are_computed_once_also_when_they_are_a_task_of_their_own(
    workbench: MakeWorkbench,
) -> None:
    see = FakeOperation("see")
    one, two = needing("one", Input("see")), needing("two", Input("see"), Input("see"))
    bench = workbench(see, one, two)
    tasks = bench.task("one", 1), bench.task("see"), bench.task("two", 2), bench.task("one", 3)
    outcomes = (await bench.run(*tasks)).outcomes
    assert items(see) == 1
    assert [result_of(o).seen_inputs for o in outcomes] == [(0,), (), (0,), (0,)]
    assert bench.engine._requests.admission.accepted == 0


async def test_what_differs_is_computed_for_itself(workbench: MakeWorkbench) -> None:
    see = FakeOperation("see")
    wanted = [
        Input("see"),
        marked("see", 1),
        Input("see", PERSON),
        Input("see", FACE),
        Input("see", FACE, FaceContext.WHOLE_IMAGE),
    ]
    finders = FakeFinder(PERSON, THE_PERSON), FakeFinder(FACE, THE_PERSON)
    bench = workbench(see, needing("asking", *wanted), *finders)
    await bench.run(bench.task("asking"), source=decoded(100, 100))
    assert items(see) == 5


async def test_where_a_face_is_looked_for_matters_only_to_faces(workbench: MakeWorkbench) -> None:
    see = FakeOperation("see")
    bench = workbench(see, needing("asking", Input("see")))
    tasks = [bench.task("asking", face_context=where) for where in FaceContext]
    await bench.run(*tasks, bench.task("see"))
    assert items(see) == 1


async def test_the_models_of_inputs_are_told_after_its_own(workbench: MakeWorkbench) -> None:
    own, of_input, of_finder = model("own"), model("input"), model("finder")
    bench = workbench(
        FakeOperation("see", models=(of_input, of_finder)),
        FakeFinder(PERSON, THE_PERSON, models=(of_finder,)),
        needing("asking", Input("see"), uses_picture=False, models=(own,)),
    )
    with_weights(bench)
    task = bench.task("asking", target=PERSON)
    (outcome,) = (await bench.run(task, source=decoded(100, 100))).outcomes
    assert [m.role for m in outcome.provenance.models] == ["own", "finder", "input", "finder"]
    assert outcome.provenance.timings.inputs > 0


# --- when an input cannot be had ------------------------------------------------------------------


async def test_a_failed_input_fails_its_askers_alike_and_nobody_else(
    workbench: MakeWorkbench,
) -> None:
    see = FakeOperation("see", Script(fails=lambda item: ValueError("blind")))
    asking = needing("asking", Input("see"), marked("quick", 1))
    second = needing("second", Input("asking"))
    bench = workbench(see, FakeOperation("quick"), asking, second)
    tasks = [bench.task(name) for name in ("see", "asking", "second", "quick")]
    *failed, quick = (await bench.run(*tasks)).outcomes
    for outcome in failed:
        assert outcome.status is TaskStatus.ERROR
        assert type(outcome.error) is OperationFailed
        assert message_of(outcome) == "operation 'see' failed: ValueError: blind"
    assert quick.status is TaskStatus.SUCCESS
    assert asking.script.batches == second.script.batches == []
    assert bench.engine._requests.admission.accepted == 0


async def test_a_skipped_input_skips_its_askers_in_their_own_words(
    workbench: MakeWorkbench,
) -> None:
    classify = needing("classify", Input("see"), uses_picture=False)
    bench = workbench(FakeOperation("see"), classify, FakeFinder(FACE, None))
    tasks = [bench.task(name, n, target=FACE) for n, name in enumerate(["see", "classify"])]
    outcomes = (await bench.run(*tasks, source=decoded(100, 100))).outcomes
    assert {outcome.status for outcome in outcomes} == {TaskStatus.SKIPPED}
    assert {type(outcome.error) for outcome in outcomes} == {RegionNotFound}
    assert [message_of(outcome) for outcome in outcomes] == [
        f"No prominent face found for operation '{n}'." for n in range(2)
    ]


async def test_an_asker_that_cannot_be_loaded_asks_for_nothing(workbench: MakeWorkbench) -> None:
    see = FakeOperation("see")
    asking = needing("asking", Input("see"))
    asking.script.load_fails = [ValueError("torn")] * 2
    bench = workbench(see, asking, load_pause=60)
    (first,) = (await bench.run(bench.task("asking"))).outcomes
    seen = items(see)
    (second,) = (await bench.run(bench.task("asking"))).outcomes
    assert type(first.error) is type(second.error) is PluginError
    assert items(see) == seen
    assert bench.engine._requests.admission.accepted == 0


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        (
            lambda params, reference: [Input("se")],
            OperationUnavailable,
            "asking needs another operation: there is no operation 'se'; did you mean 'see'?",
        ),
        (
            lambda params, reference: [Input("see", params={"mark": "x"})],
            None,
            "mark: Input should be a valid integer",
        ),
        (lambda params, reference: [Input("whole", FACE)], None, "Unsupported target"),
        (lambda params, reference: ["see"], OperationFailed, "gave a str, not an Input"),
        (lambda params, reference: 3, OperationFailed, "operation 'asking' failed: TypeError"),
        (lambda params, reference: [Input(["see"])], OperationFailed, "failed: TypeError"),  # type: ignore[arg-type]  # a plugin's mistake
        (lambda params, reference: 1 / 0, OperationFailed, "failed: ZeroDivisionError"),
        (lambda params, reference: exit(3), OperationFailed, "failed: SystemExit: 3"),
        (
            lambda params, reference: (Input("see", params={"mark": n}) for n in range(10**9)),
            OperationFailed,
            "more than 64 inputs",
        ),
        (
            lambda params, reference: [Input("asking", params={"mark": params.mark + 1})],
            OperationFailed,
            "operation 'asking' needs inputs of inputs more than 4 deep",
        ),
        (
            lambda params, reference: [Input("asking")],
            OperationFailed,
            "go round in a circle: 'asking' needs 'asking'",
        ),
    ],
)
async def test_what_is_wrong_with_the_inputs_is_that_tasks_error(
    workbench: MakeWorkbench, inputs: Any, kind: type[Exception] | None, words: str
) -> None:
    see = FakeOperation("see")
    whole = FakeOperation("whole", targets=(Target.WHOLE_IMAGE,))
    bench = workbench(see, whole, FakeOperation("asking", inputs=inputs))
    asking, alone = (await bench.run(bench.task("asking"), bench.task("see", 5))).outcomes
    assert asking.status is TaskStatus.ERROR
    assert kind is None or type(asking.error) is kind
    assert words in message_of(asking)
    assert asking.provenance.operation == "asking"
    assert result_of(alone).mark == 5
    assert bench.engine._requests.admission.accepted == 0


async def test_a_circle_of_several_and_who_leads_into_it(workbench: MakeWorkbench) -> None:
    parts = needing("a", Input("b")), needing("b", Input("c")), needing("c", Input("a"))
    bench = workbench(*parts, needing("outside", Input("a")), FakeOperation("fine"))
    tasks = [bench.task(name) for name in ("outside", "a", "b", "c", "fine")]
    *circle, fine = (await bench.run(*tasks)).outcomes
    assert all("in a circle" in message_of(outcome) for outcome in circle)
    assert "'outside' needs 'a' needs 'b' needs 'c' needs 'a'" in message_of(circle[0])
    assert fine.status is TaskStatus.SUCCESS


async def test_a_chain_that_is_too_long_is_refused_and_its_shorter_end_is_not(
    workbench: MakeWorkbench,
) -> None:
    parts = [FakeOperation("0"), *(needing(str(n), Input(str(n - 1))) for n in range(1, 7))]
    bench = workbench(*parts)
    for order in (range(7), reversed(range(7))):
        outcomes = (await bench.run(*(bench.task(str(n)) for n in order))).outcomes
        told = {o.task.operation.name: o.status for o in outcomes}
        refused = {name for name, status in told.items() if status is TaskStatus.ERROR}
        assert refused == {"5", "6"}
    assert "operation '6' needs inputs of inputs more than 4 deep" in message_of(outcomes[0])


async def test_a_runner_that_gives_something_else_is_told_once(workbench: MakeWorkbench) -> None:
    odd = FakeOperation("odd", runner=lambda script: Plain(lambda batch: ["text"] * len(batch)))
    bench = workbench(odd, needing("asking", Input("odd")))
    (outcome,) = (await bench.run(bench.task("asking"))).outcomes
    assert message_of(outcome) == "operation 'odd' gave a str where a FakeResult was expected"


# --- counted, and let go --------------------------------------------------------------------------


async def test_inputs_count_where_the_queue_is_bounded(workbench: MakeWorkbench) -> None:
    bench = workbench(
        FakeOperation("see"),
        needing("asking", *(marked("see", n) for n in range(3))),
        queue_limit=4,
    )
    await bench.run(bench.task("asking"))
    with pytest.raises(TooLarge, match="5 tasks"):
        await bench.run(bench.task("asking"), bench.task("see", 7))


@pytest.mark.parametrize("stage", ["input", "asker"])
@pytest.mark.parametrize("late", [False, True])
async def test_a_caller_who_leaves_or_is_late_takes_everything_along(
    workbench: MakeWorkbench, stage: str, late: bool
) -> None:
    see, asking = FakeOperation("see"), needing("asking", marked("see", 1), marked("see", 2))
    bench = workbench(see, asking)
    held = (see if stage == "input" else asking).script
    held.running.close()
    deadline = asyncio.get_running_loop().time() + 60 if late else None
    leaving = bench.begin(bench.task("asking"), deadline=deadline)
    await held.running.arrival()
    assert bench.engine._requests.admission.accepted == (3 if stage == "input" else 1)
    if late:  # as its timer would
        (request,) = bench.engine._requests._open
        request.expire()
    else:
        leaving.cancel()
    with pytest.raises(DeadlineExceeded if late else asyncio.CancelledError):
        await leaving
    assert bench.engine._requests.admission.accepted == 0
    held.running.open()
    assert marks_of(await bench.run(bench.task("asking", 5))) == [5]
    assert bench.engine._requests.admission.accepted == 0
    assert bench.statistics("operation 'asking'").queued == 0
    if stage == "input":
        assert asking.script.marks == [[5]]


async def test_an_answer_does_not_wait_for_an_input_that_nobody_needs_any_more(
    workbench: MakeWorkbench,
) -> None:
    slow = FakeOperation("slow", Script(uses_device=False))
    bad = FakeOperation("bad", Script(fails=lambda item: ValueError("no")))
    bench = workbench(slow, bad, needing("asking", Input("slow"), Input("bad")))
    slow.script.running.close()
    async with asyncio.timeout(10):
        (outcome,) = (await bench.run(bench.task("asking"))).outcomes
    assert outcome.status is TaskStatus.ERROR
    assert bench.engine._requests.admission.accepted == 0
    slow.script.running.open()


async def test_a_region_that_is_optional_and_an_input_that_is_not(
    workbench: MakeWorkbench,
) -> None:
    asking = needing("asking", Input("see"), missing_region={PERSON: MissingRegion.RUN_WITHOUT})
    see = FakeOperation("see", missing_region={PERSON: MissingRegion.SKIP})
    bench = workbench(see, asking, FakeFinder(PERSON, None))
    (outcome,) = (await bench.run(bench.task("asking", target=PERSON))).outcomes
    assert outcome.status is TaskStatus.SKIPPED
    assert bench.engine._requests.admission.accepted == 0


async def test_askers_of_one_input_share_a_batch(workbench: MakeWorkbench) -> None:
    asking = needing("asking", Input("see"))
    bench = workbench(FakeOperation("see"), asking)
    assert marks_of(await bench.run(*(bench.task("asking", n) for n in range(8)))) == [*range(8)]
    assert len(asking.script.batches) <= 2
