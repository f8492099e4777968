"""Tasks on persons and faces: each region found once, told in the result, honest when missing."""

from typing import Any

import pytest

from opsin.core.availability import Availability
from opsin.core.contract import Box, MissingRegion, Operation, Region, Target
from opsin.core.engine import Outcome, TaskStatus
from opsin.core.errors import OperationFailed, OperationUnavailable, PluginError, RegionNotFound
from opsin.core.regions import NO_PERSON_DETECTOR, NO_PERSON_FOR_FACE
from opsin.core.testing import FakeFinder, FakeOperation, FakeRunner, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.workbench import Plain, Workbench, decoded, message_of, result_of, until

PERSON, FACE = Target.PROMINENT_PERSON, Target.PROMINENT_FACE


CONTEXTS = [(PERSON, "prominent_person"), (FACE, "prominent_person"), (FACE, "whole_image")]


def box(x_min: int, y_min: int, x_max: int, y_max: int) -> Box:
    return Box(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


THE_PERSON = box(20, 10, 60, 90)
IN_PERSON = box(5, 5, 15, 20)  # in pixels of the person's crop
IN_IMAGE = box(25, 15, 35, 30)


class FaceRunner(Plain):
    """Finds the face in pixels of whatever it is given."""

    def __init__(self, script: Script) -> None:
        super().__init__(self.find)
        self.script = script

    def find(self, batch: Any) -> list[Region | None]:
        self.script.run(batch)
        return [
            Region(IN_PERSON if item.picture.shape == (80, 40, 3) else IN_IMAGE, 0.9)
            for item in batch
        ]


class FaceFinder(FakeFinder):
    def load(self, context: Any) -> Any:
        self.script.load()
        return FaceRunner(self.script)


def faces() -> FaceFinder:
    return FaceFinder(FACE, None)


def persons(found: Box | None = THE_PERSON, **script: Any) -> FakeFinder:
    return FakeFinder(PERSON, found, Script(**script))


async def ask(bench: Workbench, *asked: dict[str, Any]) -> tuple[Outcome, ...]:
    tasks = [bench.task(mark=n, **params) for n, params in enumerate(asked)]
    return (await bench.run(*tasks, source=decoded(100, 100))).outcomes


async def test_each_region_is_found_once_for_all_tasks_of_a_request(
    workbench: MakeWorkbench,
) -> None:
    person, face, operation = persons(), faces(), FakeOperation()
    bench = workbench(person, face, operation)
    asked: list[dict[str, Any]] = [
        {"target": PERSON},
        {"target": FACE},
        {"target": FACE, "face_context": "whole_image"},
        {},
    ]
    outcomes = await ask(bench, *asked * 3)
    assert len(person.script.batches) == 1
    assert sum(map(len, face.script.batches)) == 2
    for n, outcome in enumerate(outcomes):
        region = [THE_PERSON, IN_PERSON.moved(20, 10), IN_IMAGE, None][n % 4]
        size = [(40, 80), (10, 15), (10, 15), (100, 100)][n % 4]
        result = result_of(outcome)
        assert (result.region, result.seen_region, result.note) == (region, region, None)
        assert (result.width, result.height) == size


async def test_crops_are_views_of_the_one_picture(workbench: MakeWorkbench) -> None:
    operation, person = FakeOperation(), persons()
    bench = workbench(person, operation)
    picture = decoded(100, 100)
    tasks = [bench.task(target=PERSON), bench.task()]
    await bench.run(*tasks, source=picture)
    items = [item for batch in operation.script.batches for item in batch]
    assert [item.picture.base is picture.pixels or item.picture is picture.pixels for item in items]
    assert all(not item.picture.flags.owndata or item.picture is picture.pixels for item in items)
    assert not any(item.picture.flags.writeable for item in items)


async def test_a_task_on_the_whole_image_needs_no_finder(workbench: MakeWorkbench) -> None:
    person, face = persons(), faces()
    bench = workbench(person, face, FakeOperation())
    await ask(bench, {}, {})
    assert person.script.loads == face.script.loads == 0


async def test_a_face_in_the_whole_image_does_not_look_for_a_person(
    workbench: MakeWorkbench,
) -> None:
    person = persons()
    bench = workbench(person, faces(), FakeOperation())
    await ask(bench, {"target": FACE, "face_context": "whole_image"})
    assert person.script.loads == 0


async def test_without_a_person_the_whole_image_is_used_and_the_note_says_so(
    workbench: MakeWorkbench,
) -> None:
    face = faces()
    bench = workbench(persons(None), face, FakeOperation())
    asked = [{"target": t, "face_context": c} for t, c in CONTEXTS]
    whole, in_person, in_image = (result_of(o) for o in await ask(bench, *asked))
    assert (whole.region, whole.width) == (None, 100)
    assert whole.note == "no prominent person was found, the whole image was used"
    assert in_person.region == in_image.region == IN_IMAGE
    assert in_person.note == NO_PERSON_FOR_FACE
    assert in_image.note is None
    assert sum(map(len, face.script.batches)) == 1  # the same search, in effect


async def test_without_a_face_the_task_is_skipped(workbench: MakeWorkbench) -> None:
    operation = FakeOperation()
    bench = workbench(persons(), FakeFinder(FACE, None), operation)
    (outcome,) = await ask(bench, {"target": FACE})
    assert outcome.status is TaskStatus.SKIPPED
    assert type(outcome.error) is RegionNotFound
    assert message_of(outcome) == "No prominent face found for operation '0'."
    assert outcome.result is None
    assert operation.script.batches == []


async def test_an_operation_says_what_to_do_without_its_region(workbench: MakeWorkbench) -> None:
    missing = {PERSON: MissingRegion.RUN_WITHOUT, FACE: MissingRegion.USE_WHOLE_IMAGE}
    bench = workbench(persons(None), FakeFinder(FACE, None), FakeOperation(missing_region=missing))
    person, face = (result_of(o) for o in await ask(bench, {"target": PERSON}, {"target": FACE}))
    assert (person.note, person.seen_region, person.width) == (None, None, 100)
    assert face.note == (
        f"{NO_PERSON_FOR_FACE}; no prominent face was found, the whole image was used"
    )


async def test_an_operation_that_does_not_crop_sees_the_picture_and_the_region(
    workbench: MakeWorkbench,
) -> None:
    missing = {PERSON: MissingRegion.RUN_WITHOUT, FACE: MissingRegion.RUN_WITHOUT}
    operation = FakeOperation(crop=False, missing_region=missing)
    bench = workbench(persons(), FakeFinder(FACE, None), operation)
    person, face = (result_of(o) for o in await ask(bench, {"target": PERSON}, {"target": FACE}))
    assert (person.width, person.height, person.seen_region) == (100, 100, THE_PERSON)
    assert person.region is None
    assert (face.width, face.seen_region, face.region) == (100, None, None)


async def test_an_empty_box_is_no_region_and_a_box_is_clipped(workbench: MakeWorkbench) -> None:
    bench = workbench(
        persons(box(90, 90, 300, 300)), FakeFinder(FACE, box(3, 3, 3, 9)), FakeOperation()
    )
    person, face = await ask(bench, {"target": PERSON}, {"target": FACE})
    assert result_of(person).region == box(90, 90, 100, 100)
    assert face.status is TaskStatus.SKIPPED


async def test_without_a_person_detector_the_face_is_looked_for_in_the_whole_image(
    workbench: MakeWorkbench,
) -> None:
    unavailable = FakeFinder(PERSON, THE_PERSON, requires=("surely_not_installed",))
    for finders in ((unavailable,), ()):
        bench = workbench(*finders, faces(), FakeOperation())
        face, person = await ask(bench, {"target": FACE}, {"target": PERSON})
        assert result_of(face).region == IN_IMAGE
        assert result_of(face).note == NO_PERSON_DETECTOR
        assert person.status is TaskStatus.ERROR
        assert type(person.error) is OperationUnavailable


async def test_the_reason_is_the_one_that_availability_gives(workbench: MakeWorkbench) -> None:
    finder = FakeFinder(FACE, None, requires=("surely_not_installed",), extra="opsin[models]")
    missing = FakeOperation("missing", requires=("surely_not_installed",))
    bench = workbench(finder, FakeOperation(), missing)
    availability = Availability(bench.host, bench.models)
    for task in (
        bench.task(target=FACE),
        bench.task(target=PERSON),
        bench.task("missing"),
        bench.task("missing", target=FACE),
    ):
        (outcome,) = (await bench.run(task)).outcomes
        assert outcome.status is TaskStatus.ERROR
        assert type(outcome.error) is OperationUnavailable
        assert message_of(outcome) == availability.reason(task.operation, task.target)
    assert bench.host.failures == ()  # nothing is broken, something is missing


async def test_a_person_detector_that_fails_is_not_nobody_there(workbench: MakeWorkbench) -> None:
    failing = persons(fails=lambda item: ValueError("lost"))
    bench = workbench(failing, faces(), FakeOperation())
    asked = [{"target": t, "face_context": c} for t, c in CONTEXTS]
    person, in_person, in_image = await ask(bench, *asked)
    for outcome in (person, in_person):
        assert outcome.status is TaskStatus.ERROR
        assert type(outcome.error) is OperationFailed
        assert message_of(outcome) == (
            "region finder 'fake_prominent_person' failed: ValueError: lost"
        )
    assert result_of(in_image).region == IN_IMAGE


async def test_a_person_detector_that_cannot_be_loaded_is_an_error(
    workbench: MakeWorkbench,
) -> None:
    bench = workbench(persons(load_fails=[ValueError("torn")]), faces(), FakeOperation())
    (outcome,) = await ask(bench, {"target": FACE})
    assert type(outcome.error) is PluginError
    assert [f.stage for f in bench.host.failures] == ["load"]


@pytest.mark.parametrize("answer", ["text", (1, 2, 3, 4), THE_PERSON])
async def test_a_finder_must_give_regions(workbench: MakeWorkbench, answer: object) -> None:
    class Odd(FakeFinder):
        def load(self, context: Any) -> Any:
            return Plain(lambda batch: [answer] * len(batch))

    bench = workbench(Odd(PERSON, None), FakeOperation())
    (outcome,) = await ask(bench, {"target": PERSON})
    assert "where a Region was expected" in message_of(outcome)


async def test_searches_of_several_requests_share_batches(workbench: MakeWorkbench) -> None:
    person = persons()
    bench = workbench(person, FakeOperation())
    task = bench.task(target=PERSON)
    first = await bench.occupy(person.script, task)
    rest = [bench.begin(task, source=decoded(100, 100)) for _ in range(5)]
    finder = "region finder 'fake_prominent_person'"
    await bench.queued(5, finder)
    person.script.running.open()
    for request in (first, *rest):
        await request
    assert [len(batch) for batch in person.script.batches] == [1, 5]


async def test_a_note_of_the_operation_is_kept(workbench: MakeWorkbench) -> None:
    class Noting(FakeRunner):
        def run(self, batch: Any) -> Any:
            return [r.model_copy(update={"note": "dark"}) for r in super().run(batch)]

    operation: Operation[Any, Any] = FakeOperation(runner=Noting)
    bench = workbench(persons(None), operation)
    plain, person = (result_of(o) for o in await ask(bench, {}, {"target": PERSON}))
    assert plain.note == "dark"
    assert person.note == "dark; no prominent person was found, the whole image was used"


async def test_the_operation_is_loaded_while_its_region_is_looked_for(
    workbench: MakeWorkbench,
) -> None:
    person, operation = persons(), FakeOperation()
    bench = workbench(person, operation)
    request = await bench.occupy(person.script, bench.task(target=PERSON))
    await until(lambda: operation.script.loads == 1)
    assert not request.done()
    person.script.running.open()
    await request
