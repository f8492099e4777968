"""Inputs that are known beforehand: taken as they are, and no more done than they leave to do."""

from dataclasses import replace
from typing import Any

import pytest

from opsin.core.contract import Box, Input, Target
from opsin.core.engine import Analyzed, Outcome
from opsin.core.engine.steps import KnownInputs
from opsin.core.testing import FakeFinder, FakeOperation, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.test_inputs import items, marked, needing
from tests.core.engine.test_provenance import model, with_weights
from tests.core.engine.workbench import Workbench, decoded, message_of, png, result_of

PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE
THE_PERSON = Box(x_min=20, y_min=10, x_max=60, y_max=90)


async def outcome_of(bench: Workbench, operation: str, mark: int = 0, **params: Any) -> Outcome:
    """What came of an operation, made before the fakes' counters begin."""
    (outcome,) = (await bench.run(bench.task(operation, mark, **params))).outcomes
    for registered in bench.host.operations.values():
        script: Script = registered.operation.script  # type: ignore[attr-defined]  # all are fakes
        script.batches.clear()
    return outcome


async def run(bench: Workbench, *tasks: Any, known: list[Outcome], **options: Any) -> Analyzed:
    return await bench.run(*tasks, inputs=KnownInputs(known), **options)


async def test_a_known_input_is_not_computed(workbench: MakeWorkbench) -> None:
    see, asking = FakeOperation("see"), needing("asking", marked("see", 1), marked("see", 2))
    bench = workbench(see, asking)
    known = await outcome_of(bench, "see", 2)
    (outcome,) = (await run(bench, bench.task("asking"), known=[known])).outcomes
    assert result_of(outcome).seen_inputs == (1, 2)
    assert see.script.marks == [[1]]
    assert bench.engine._requests.admission.accepted == 0


@pytest.mark.parametrize(
    ("asked", "computed"),
    [
        ({"target": "whole_image"}, 0),
        ({"target": "prominent_person"}, 1),
        ({"mark": 1}, 1),
        ({"face_context": "whole_image"}, 0),  # which counts for faces only
    ],
)
async def test_only_what_is_alike_is_taken(
    workbench: MakeWorkbench, asked: dict[str, Any], computed: int
) -> None:
    see = FakeOperation("see")
    asking = needing("asking", Input("see", params={"mark": asked.pop("mark", 0)}))
    bench = workbench(see, asking, FakeFinder(PERSON, THE_PERSON))
    known = await outcome_of(bench, "see")
    await run(bench, bench.task("asking", **asked), known=[known], source=decoded(100, 100))
    assert items(see) == computed


async def test_what_a_known_input_needed_is_not_computed_either(workbench: MakeWorkbench) -> None:
    parts = [FakeOperation("0"), *(needing(str(n), Input(str(n - 1))) for n in range(1, 5))]
    bench = workbench(*parts)
    known = await outcome_of(bench, "2")
    (outcome,) = (await run(bench, bench.task("4"), known=[known])).outcomes
    assert result_of(outcome).seen_inputs == (0,)
    assert [items(part) for part in parts] == [0, 0, 0, 1, 1]
    # Unless somebody else needs it.
    outcomes = (await run(bench, bench.task("4"), bench.task("1"), known=[known])).outcomes
    assert [result_of(outcome).seen_inputs for outcome in outcomes] == [(0,), (0,)]
    assert [items(part) for part in parts] == [1, 1, 0, 2, 2]


async def test_whoever_wants_all_of_it_anew_has_it_so_and_so_has_who_shares_it(
    workbench: MakeWorkbench,
) -> None:
    see, middle = FakeOperation("see"), needing("middle", Input("see"))
    one, two = needing("one", Input("middle")), needing("two", Input("middle"))
    bench = workbench(see, middle, one, two)
    known = [await outcome_of(bench, name) for name in ("see", "middle")]
    tasks = [bench.task("one"), replace(bench.task("two"), reuse=False)]
    outcomes = (await run(bench, *tasks, known=known)).outcomes
    assert [items(part) for part in (see, middle, one, two)] == [1, 1, 1, 1]
    assert not any(outcome.provenance.inputs_reused for outcome in outcomes)


async def test_a_task_is_computed_though_it_is_known_as_an_input(workbench: MakeWorkbench) -> None:
    see, asking = FakeOperation("see"), needing("asking", Input("see"))
    bench = workbench(see, asking)
    known = await outcome_of(bench, "see")
    await run(bench, bench.task("asking"), bench.task("see"), known=[known])
    assert items(see) == 1


async def test_its_region_note_and_models_are_told_of(workbench: MakeWorkbench) -> None:
    own, of_input, of_finder = model("own"), model("input"), model("finder")
    bench = workbench(
        FakeOperation("see", models=(of_input,)),
        needing("asking", Input("see"), uses_picture=False, models=(own,)),
        FakeFinder(PERSON, THE_PERSON, models=(of_finder,)),
    )
    with_weights(bench)
    task = bench.task("see", target=PERSON)
    (made,) = (await bench.run(task, source=decoded(100, 100))).outcomes
    assert made.result is not None and not made.provenance.inputs_reused
    noted = replace(made, result=made.result.model_copy(update={"note": "look"}))
    asked = bench.task("asking", target=PERSON)
    for cached in (False, True):
        known = replace(noted, provenance=replace(made.provenance, cached=cached))
        (outcome,) = (await run(bench, asked, known=[known], source=decoded(100, 100))).outcomes
        assert (result_of(outcome).region, result_of(outcome).note) == (THE_PERSON, "look")
        told = outcome.provenance
        assert [model.role for model in told.models] == ["own", "input", "finder"]
        assert (told.cached, told.inputs_reused) == (False, cached)
        assert told.timings.region == 0


async def test_what_was_made_of_reused_inputs_says_so_all_the_way_up(
    workbench: MakeWorkbench,
) -> None:
    parts = [FakeOperation("0"), *(needing(str(n), Input(str(n - 1))) for n in range(1, 4))]
    bench = workbench(*parts)
    known = await outcome_of(bench, "0")
    known = replace(known, provenance=replace(known.provenance, cached=True))
    outcomes = (await run(bench, bench.task("3"), bench.task("1"), known=[known])).outcomes
    assert [outcome.provenance.inputs_reused for outcome in outcomes] == [True, True]


# --- the picture ----------------------------------------------------------------------------------


class Unreadable:
    """A picture that must not be opened."""

    def __call__(self) -> Any:
        raise AssertionError("nobody looks at it")


async def test_a_picture_that_nobody_looks_at_is_neither_opened_nor_decoded(
    workbench: MakeWorkbench,
) -> None:
    see = FakeOperation("see")
    bench = workbench(see, needing("asking", Input("see"), uses_picture=False))
    known = await outcome_of(bench, "see")
    info = replace(decoded(70, 50).info)
    analyzed = await run(
        bench, bench.task("asking", 3), known=[known], source=Unreadable(), info=info
    )
    (outcome,) = analyzed.outcomes
    assert analyzed.info is info
    result = result_of(outcome)
    assert (result.mark, result.width, result.height, result.seen_inputs) == (3, 70, 50, (0,))
    assert outcome.provenance.timings.decode == 0


async def test_a_picture_that_somebody_looks_at_is_opened_whatever_is_said_of_it(
    workbench: MakeWorkbench,
) -> None:
    see = FakeOperation("see")
    bench = workbench(see, needing("asking", Input("see"), uses_picture=False))
    known, info = await outcome_of(bench, "see"), decoded(70, 50).info
    for tasks in ([bench.task("asking", face_context="whole_image")], [bench.task("see")], []):
        unlike = [] if tasks and tasks[0].operation is not see else [known]
        analyzed = await run(bench, *tasks, known=unlike, source=png(30, 20), info=info)
        assert analyzed.info.width == 30
        for outcome in analyzed.outcomes:
            assert outcome.provenance.timings.decode > 0


async def test_who_uses_no_picture_sees_none(workbench: MakeWorkbench) -> None:
    """So that what it answers does not depend on whether an input was known."""
    blind = needing("blind", Input("see"), uses_picture=False)
    bench = workbench(FakeOperation("see"), blind)
    picture = decoded(30, 20)
    bright = replace(picture, pixels=picture.pixels + 200)
    await bench.run(bench.task("blind"), source=bright)
    ((item,),) = blind.script.batches
    assert item.picture.shape == (20, 30, 3) and not item.picture.any()
    assert not item.picture.flags.writeable


# --- inputs that are computed ---------------------------------------------------------------------


async def test_inputs_that_are_computed_are_told_of(workbench: MakeWorkbench) -> None:
    see = FakeOperation("see", Script(fails=lambda i: ValueError("x") if i.params.mark else None))
    bench = workbench(see, needing("asking", Input("see")), needing("bad", marked("see", 1)))
    heard: list[Outcome] = []
    inputs = KnownInputs(computed=heard.append)
    tasks = [bench.task("asking"), bench.task("bad")]
    (fine, bad) = (await bench.run(*tasks, inputs=inputs)).outcomes
    told = {outcome.task.params.model_dump()["mark"]: outcome for outcome in heard}
    assert sorted(told) == [0, 1]
    assert result_of(told[0]).mark == 0 and message_of(told[1]) == message_of(bad)
    assert result_of(fine).seen_inputs == (0,)
    heard.clear()
    await bench.run(bench.task("asking"), bench.task("see"), inputs=inputs)
    assert heard == [], "it is told of as a task"
