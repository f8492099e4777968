"""Applications: declared for everybody, or a company's own, and what about one cannot be."""

from typing import Any

import pytest

from opsin import Application, Step
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.applications import applications as use_case
from opsin.core.applications.applications import ApplicationChanges, NewApplication
from opsin.core.errors import (
    ConfigurationError,
    Conflict,
    DuplicateName,
    InvalidInput,
    LimitReached,
    NotFound,
)
from opsin.core.records import Dataset
from opsin.settings import Settings
from opsin.storage.ids import new_id
from tests.conftest import other_company
from tests.core.applications.house import (
    FIRST,
    OTHER,
    SAMPLE,
    SECOND,
    add,
    asked_of,
    sample_house,
)

STEPS = (FIRST, SECOND)


async def test_declared_ones_are_everybodys(parts: Parts, principal: Principal) -> None:
    applications, stranger = parts.use_cases.applications, await other_company(parts)
    (skin,) = [one for one in applications.declared if one.name == "face_skin"]
    assert len(skin.steps) == 11
    assert skin.company_id is None
    for caller in (principal, stranger):
        assert await applications.listed(caller) == list(applications.declared)
        found = await applications.find(caller, SAMPLE.id.upper())
        assert found is not None
        assert (found.name, found.keys) == ("sample", ("second", "first", "other"))


async def test_a_companys_own_is_seen_by_it_alone(parts: Parts, principal: Principal) -> None:
    applications, stranger = parts.use_cases.applications, await other_company(parts)
    made = await applications.create(principal, NewApplication(" mine ", STEPS))
    assert (made.name, made.title, made.description) == ("mine", "mine", "")
    assert made.steps == STEPS
    assert made.company_id == principal.company_id
    assert await applications.listed(principal) == [*applications.declared, made]
    assert await applications.find_many(principal, [made.id, SAMPLE.id, new_id()]) == {
        made.id: made,
        SAMPLE.id: await applications.find(principal, SAMPLE.id),
    }
    assert await applications.find(stranger, made.id) is None
    for refused in (
        applications.update(stranger, made.id, ApplicationChanges(title="theirs")),
        applications.delete(stranger, made.id),
        applications.delete(principal, "no id"),
    ):
        with pytest.raises(NotFound):
            await refused
    theirs = await applications.create(stranger, NewApplication("mine", STEPS))
    assert theirs.id != made.id


async def test_a_name_is_taken_once(parts: Parts, principal: Principal) -> None:
    applications = parts.use_cases.applications
    await applications.create(principal, NewApplication("mine", STEPS))
    other = await applications.create(principal, NewApplication("other", STEPS))
    for name in ("mine", "sample"):
        with pytest.raises(Conflict, match=repr(name)):
            await applications.create(principal, NewApplication(name, STEPS))
        with pytest.raises(Conflict, match=repr(name)):
            await applications.update(principal, other.id, ApplicationChanges(name=name))


async def test_an_own_one_is_changed(parts: Parts, principal: Principal) -> None:
    applications = parts.use_cases.applications
    made = await applications.create(
        principal, NewApplication("mine", STEPS, image_type="selfie", description="Two.")
    )
    changed = await applications.update(
        principal, made.id, ApplicationChanges(title="All three", steps=(FIRST, SECOND, OTHER))
    )
    assert (changed.title, changed.keys) == ("All three", ("first", "second", "other"))
    assert (changed.name, changed.description, changed.image_type) == ("mine", "Two.", "selfie")
    any_type = await applications.update(principal, made.id, ApplicationChanges(image_type=None))
    assert any_type.image_type is None
    assert await applications.find(principal, made.id) == any_type


async def test_images_to_come_are_analysed_by_what_it_is_then(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    """A step that is gone is not done; one that is new is done where it is attached again."""
    applications, runs = parts.use_cases.applications, parts.use_cases.runs
    made = await applications.create(principal, NewApplication("mine", STEPS))
    run = await runs.attach(principal, made.id, dataset.id)
    await applications.update(principal, made.id, ApplicationChanges(steps=(FIRST, OTHER)))
    await add(parts, principal, dataset)
    assert [one.task_id for one in await asked_of(parts, run.id)] == ["first"]
    await runs.attach(principal, made.id, dataset.id)
    await add(parts, principal, dataset)
    assert [one.task_id for one in await asked_of(parts, run.id)] == ["first", "first", "other"]

    await applications.update(principal, made.id, ApplicationChanges(steps=(Step("n", "fake"),)))
    await add(parts, principal, dataset)
    assert len(await asked_of(parts, run.id)) == 3
    assert (await runs.counts(principal, [run.id]))[run.id].images == 2


async def test_it_is_deleted_when_no_dataset_has_it(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    applications, runs = parts.use_cases.applications, parts.use_cases.runs
    made = await applications.create(principal, NewApplication("mine", STEPS))
    run = await runs.attach(principal, made.id, dataset.id)
    await add(parts, principal, dataset)
    with pytest.raises(Conflict, match="detach it first"):
        await applications.delete(principal, made.id)
    await runs.detach(principal, run.id)
    assert await applications.delete(principal, made.id) == made.id
    assert await applications.find(principal, made.id) is None
    assert await parts.worker.drain() == 2
    assert (await runs.find(principal, run.id)) is not None
    with pytest.raises(NotFound):
        await runs.attach(principal, made.id, dataset.id)


async def test_a_declared_one_stays_as_it_is(parts: Parts, principal: Principal) -> None:
    applications = parts.use_cases.applications
    with pytest.raises(Conflict, match="declared by the server"):
        await applications.update(principal, SAMPLE.id, ApplicationChanges(title="x"))
    with pytest.raises(Conflict, match="declared by the server"):
        await applications.delete(principal, SAMPLE.id)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (NewApplication("", STEPS), "name must have 1 to 255"),
        (NewApplication("a\0b", STEPS), "name must have"),
        (NewApplication("x" * 256, STEPS), "name must have"),
        (NewApplication("x", STEPS, description="x" * 10_001), "description must have"),
        (NewApplication("x", STEPS, image_type="x-ray"), "no image type 'x-ray'"),
        (NewApplication("x", ()), "1 to 100 steps"),
        (NewApplication("x", (SECOND,)), "requires 'first', which is no step"),
        (NewApplication("x", (Step("a", "fakee"),)), "did you mean 'fake'"),
        (NewApplication("x", (Step("a", "fake", {"mark": "x"}),)), "step 'a': mark"),
        (NewApplication("x", (Step("a", "fake", {"size": 1}),)), "step 'a': size"),
        (NewApplication("x", (Step("a", "fake", {"target": "moon"}),)), "Unsupported target"),
        (NewApplication("x", (Step("a", "fake", []),)), "should be an object"),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
async def test_what_cannot_be_is_refused(
    parts: Parts, principal: Principal, new: NewApplication, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        await parts.use_cases.applications.create(principal, new)


async def test_there_is_a_limit(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_case, "MOST_APPLICATIONS", 2)
    for name in ("one", "two"):
        await parts.use_cases.applications.create(principal, NewApplication(name, STEPS))
    with pytest.raises(LimitReached, match="at most 2"):
        await parts.use_cases.applications.create(principal, NewApplication("three", STEPS))
    stranger = await other_company(parts)
    assert await parts.use_cases.applications.create(stranger, NewApplication("one", STEPS))


async def test_a_step_says_why_it_cannot_be_done(settings: Settings) -> None:
    async with sample_house(settings, disabled_plugins=("bbox", "skin")) as parts:
        reason = parts.use_cases.applications.unavailable_reason
        assert reason(FIRST) is None
        assert "no operation 'skin_tone'" in (reason(Step("a", "skin_tone")) or "")
        assert "mark" in (reason(Step("a", "fake", {"mark": "x"})) or "")
        face = Step("a", "fake", {"target": "prominent_face"})
        assert "no plugin finds the region 'prominent_face'" in (reason(face) or "")


def declared(**changes: Any) -> Application:
    members: dict[str, Any] = {
        "name": "another",
        "title": "Another",
        "description": "One step.",
        "steps": (FIRST,),
    }
    return Application(**members | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Mit Leerzeichen"}, "name must match"),
        ({"name": 7}, "name must match"),
        ({"title": " "}, "`title` must be a text"),
        ({"description": ""}, "`description` must be a text"),
        ({"image_type": ""}, "`image_type` must be a text or None"),
        ({"id": "7"}, "`id` must be a UUID"),
        ({"id": "8B5B3ACC-480b-4412-8d2c-ebe6ab4384d7"}, "in lower case"),
        ({"steps": [FIRST]}, "must be a tuple"),
        ({"steps": (SECOND,)}, "requires 'first'"),
    ],
)
async def test_a_door_cannot_declare_what_cannot_be(
    parts: Parts, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parts.use_cases.applications.declare(declared(**changes))


async def test_a_declared_name_or_id_is_taken_once(parts: Parts) -> None:
    declare = parts.use_cases.applications.declare
    declare(declared())
    for twice in (declared(), declared(name="new", id=SAMPLE.id), declared(name="face_skin")):
        with pytest.raises(DuplicateName, match="is already taken"):
            declare(twice)


def test_the_id_is_made_of_the_name_for_ever() -> None:
    """Runs in databases name it: this text must never change."""
    assert declared(name="face_skin").id == "2abf43c0-3bf4-5bc4-8cab-56267bfb8d9c"
    assert declared(id="8b5b3acc-480b-4412-8d2c-ebe6ab4384d7").id.startswith("8b5b3acc")
