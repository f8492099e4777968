"""Inputs that another company has: their numbers are lent, and nobody can tell that they were."""

import asyncio
from typing import Any

import pytest

from opsin.core.access import Principal
from opsin.core.engine import Outcome
from opsin.core.testing import Script
from opsin.settings import Settings
from tests.conftest import other_company
from tests.core.answers.lendings import Lendings
from tests.core.answers.test_known_inputs import House, house, seen

SLOW = 0.3
"""Seconds that the input takes where it is computed."""


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> Lendings:
    return Lendings(monkeypatch)


async def timed(fakes: House, principal: Principal, name: str) -> tuple[Outcome, float]:
    """An outcome and the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    (outcome,) = await fakes.now(principal, name)
    return outcome, loop.time() - began


def check_as_if_computed(outcome: Outcome, seconds: float) -> None:
    told = outcome.provenance
    assert not told.cached and not told.inputs_reused
    assert seconds >= SLOW
    assert told.timings.decode > 0 and told.timings.inputs >= SLOW * 1000
    parts = told.as_json()["timings_ms"]
    assert isinstance(parts, dict)
    assert sum(float(str(part)) for part in parts.values()) <= seconds * 1000


@pytest.mark.parametrize("kept", [0, 2**20])
async def test_a_stored_input_of_another_company_comes_as_if_it_were_computed(
    settings: Settings, any_database_url: str, lent: Lendings, kept: int
) -> None:
    async with house(settings, any_database_url, see={"script": Script(latency=SLOW)}) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        (theirs,) = await fakes.drained(principal, "see")
    async with house(settings, any_database_url, result_cache_bytes=kept) as fakes:
        one, seconds = await timed(fakes, stranger, "one")
        assert seen(one) == (0,)
        check_as_if_computed(one, seconds)
        assert fakes.runs == {"one": 1} and lent.operations == ["see"]
        for secret in (theirs.id, theirs.image_id, theirs.company_id, theirs.dataset_id):
            assert secret not in str(one)
        # By now it is the company's own, as far as anything of it is kept.
        two, _ = await timed(fakes, stranger, "two")
        assert two.provenance.inputs_reused == bool(kept)
        assert lent.operations == ["see"] * (1 if kept else 2)
        assert fakes.runs == {"one": 1, "two": 1}


async def test_from_memory_as_well(
    settings: Settings, any_database_url: str, lent: Lendings
) -> None:
    async with house(settings, any_database_url, see={"script": Script(latency=SLOW)}) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        await fakes.now(principal, "see")
        one, seconds = await timed(fakes, stranger, "one")
        check_as_if_computed(one, seconds)
        two, _ = await timed(fakes, stranger, "two")
        assert two.provenance.inputs_reused
        assert lent.operations == ["see"]
        assert fakes.runs == {"see": 1, "one": 1, "two": 1}


@pytest.mark.parametrize("is_stored", [True, False])
async def test_what_was_made_of_reused_inputs_is_nobody_elses(
    settings: Settings, any_database_url: str, lent: Lendings, is_stored: bool
) -> None:
    """How quickly it was made would tell that its input had been there already."""
    async with house(settings, any_database_url, see={"script": Script(latency=SLOW)}) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        if is_stored:
            await fakes.drained(principal, "see")
            (made,) = await fakes.drained(principal, "one")
            assert made.provenance["inputs_reused"]
            fakes.parts.use_cases.answers.memory._kept.shrink(0)
        else:
            await fakes.now(principal, "see")
            await fakes.now(principal, "one")
        one, seconds = await timed(fakes, stranger, "one")
        check_as_if_computed(one, seconds)
        assert lent.operations == ["see"]
        assert fakes.runs == {"see": 1, "one": 2}
        # What was made of a lent input tells how long all of it takes, and is lent in turn.
        third = await other_company(fakes.parts, "third")
        again, seconds = await timed(fakes, third, "one")
        assert seconds >= SLOW and again.result == one.result
        assert lent.operations == ["see", "one"]
        assert fakes.runs == {"see": 1, "one": 2}


async def test_while_another_company_computes_it(
    settings: Settings, any_database_url: str, lent: Lendings
) -> None:
    script = Script(latency=SLOW)
    async with house(settings, any_database_url, see={"script": script}) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        script.running.close()
        theirs = asyncio.create_task(fakes.now(principal, "see"))
        await script.running.arrival()
        asking: list[asyncio.Task[tuple[Outcome, float]]] = []
        for name in ("one", "two"):
            asking.append(asyncio.create_task(timed(fakes, stranger, name)))
        await fakes.waited_for_by(3)
        script.running.open()
        for asked in asking:
            outcome, seconds = await asked
            check_as_if_computed(outcome, seconds)
        await theirs
        assert lent.operations == ["see", "see"]
        assert fakes.runs == {"see": 1, "one": 1, "two": 1}


async def test_what_is_computed_from_reused_inputs_is_not_lent_while_it_is_either(
    settings: Settings, any_database_url: str, lent: Lendings
) -> None:
    script = Script()
    changes: dict[str, Any] = {"see": {"script": Script(latency=SLOW)}, "one": {"script": script}}
    async with house(settings, any_database_url, **changes) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        await fakes.now(principal, "see")
        script.running.close()
        theirs = asyncio.create_task(fakes.now(principal, "one"))
        await script.running.arrival()
        mine = asyncio.create_task(timed(fakes, stranger, "one"))
        await fakes.waited_for_by(2)
        script.running.open()
        await theirs
        check_as_if_computed(*await mine)
        assert lent.operations == ["see"]
        assert fakes.runs == {"see": 1, "one": 2}


async def test_a_lent_input_is_nobodys_own_before_its_time(
    settings: Settings, any_database_url: str, lent: Lendings
) -> None:
    """Who leaves while it is held back has not got it, and waits for it again."""
    async with house(settings, any_database_url, see={"script": Script(latency=SLOW)}) as fakes:
        principal = await fakes.parts.use_cases.access.local()
        stranger = await other_company(fakes.parts)
        await fakes.drained(principal, "see")
        fakes.parts.use_cases.answers.memory._kept.shrink(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fakes.now(stranger, "one"), SLOW / 2)
        one, seconds = await timed(fakes, stranger, "one")
        check_as_if_computed(one, seconds)
        assert fakes.runs == {"see": 1, "one": 1}
