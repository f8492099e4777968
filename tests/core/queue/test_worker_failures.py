"""The worker's failures: each kept to its own analysis, with a code and a text that say why."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import select, update

from opsin import Annotation, Item, MissingRegion, Result, Target
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Image
from opsin.core.testing import FakeFinder, FakeOperation, FakeParams, FakeRunner, Script
from opsin.settings import Settings
from opsin.storage.tables import analyses
from tests.core.given_plugins import given, house_of
from tests.core.house import add_image, ask
from tests.core.stored import change_analyses, stored, tell_of
from tests.core.working import found, until_all, working

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def parts(settings: Settings, any_database_url: str, script: Script) -> AsyncIterator[Parts]:
    """A house with the operation `fake`, on each kind of database."""
    operation = FakeOperation(script=script)
    async with house_of(settings, operation, database_url=any_database_url) as parts:
        yield parts


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    return await add_image(parts, principal)


def fails_on(*marks: int, error: BaseException) -> Callable[[Item[Any]], BaseException | None]:
    return lambda item: error if item.params.mark in marks else None


async def test_a_failing_item_fails_alone(
    parts: Parts, principal: Principal, image: Image, script: Script
) -> None:
    script.fails = fails_on(3, error=ValueError("no whale in /srv/photos/secret.png"))
    asked = [a for mark in range(8) for a in await ask(parts, principal, image, "fake", mark=mark)]
    assert await parts.worker.drain() == 8
    for mark, analysis in enumerate(await found(parts, principal, asked)):
        if mark == 3:
            assert (analysis.status, analysis.error_code) == (FAILED, "OPERATION_FAILED")
            assert analysis.error_message is not None
            assert "ValueError: no whale" in analysis.error_message
            assert "/srv/photos" not in analysis.error_message
            assert analysis.result is None and analysis.completed_at is not None
            assert analysis.provenance is not None
        else:
            assert (analysis.status, analysis.error_code) == (COMPLETED, None)
    database = parts.use_cases.database
    assert await tell_of(database, asked[3].id) == ["queued", "processing", "failed"]


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), SystemExit(1), MemoryError(), RecursionError()]
)
async def test_whatever_a_plugin_raises_is_a_failure(
    settings: Settings, error: BaseException
) -> None:
    script = Script(fails=fails_on(1, error=error))
    async with house_of(settings, FakeOperation(script=script)) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        asked = [
            a for mark in range(3) for a in await ask(parts, principal, image, "fake", mark=mark)
        ]
        async with asyncio.timeout(20):
            assert await parts.worker.drain() == 3
        statuses = [a.status for a in await found(parts, principal, asked)]
        assert statuses == [COMPLETED, FAILED, COMPLETED]


class Inner(BaseModel):
    """Holds anything when it is constructed without a check."""

    number: float


class OddResult(Result):
    """Findings that cannot be kept, by `mark`."""

    mark: int
    value: Inner

    def annotations(self) -> Sequence[Annotation]:
        found: Sequence[Annotation] = ODD.get(self.mark, lambda: [BOX])()
        return found


def _raise(error: BaseException) -> Any:
    raise error


def _nested() -> Any:
    value: Any = 1.0
    for _ in range(5000):
        value = [value]
    return value


BOX = Annotation(annotation_type="bounding_box", data={"bbox": [1.0, 2.0, 3.0, 4.0]})
ODD: dict[int, Callable[[], Any]] = {
    1: lambda: _raise(KeyError("secret")),
    2: lambda: _raise(SystemExit(3)),
    3: lambda: [BOX.model_copy(update={"data": {"x": float("nan")}})],
    4: lambda: [BOX.model_copy(update={"confidence": float("inf")})],
    5: lambda: [BOX.model_copy(update={"class_name": "nul \x00"})],
    6: lambda: [BOX.model_copy(update={"data": {"name": "\ud800"}})],
    7: lambda: [BOX, "not an annotation"],
    8: lambda: 7,
    9: lambda: [BOX.model_copy(update={"data": {"x": _nested()}})],
    10: lambda: [BOX.model_copy(update={"data": {"x": object()}})],
    11: lambda: None,
    12: lambda: [BOX.model_copy(update={"class_name": "\ud800"})],
    13: lambda: [BOX.model_copy(update={"class_name": "x" * 256})],
}
ODD_VALUES: dict[int, Any] = {
    20: float("nan"),
    21: float("-inf"),
    22: "nul \x00",
    23: "half \ud800",
    24: {"a": [float("nan")]},
    25: {"a": object()},
    26: {"a": _nested()},
}


class OddRunner(FakeRunner):
    def run(self, batch: Sequence[Item[FakeParams]]) -> Sequence[Any]:
        return [
            OddResult.model_construct(
                region=None,
                note=None,
                mark=item.params.mark,
                value=Inner.model_construct(number=ODD_VALUES.get(item.params.mark, 0.5)),
            )
            for item in batch
        ]


async def test_findings_that_cannot_be_stored_fail_alone(
    settings: Settings, any_database_url: str
) -> None:
    operation = FakeOperation("odd", runner=OddRunner, result=OddResult)
    async with house_of(settings, operation, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        marks = [0, *ODD, *ODD_VALUES, 99]
        asked = [a for m in marks for a in await ask(parts, principal, image, "odd", mark=m)]
        async with asyncio.timeout(30):
            assert await parts.worker.drain() == len(marks)
        for mark, analysis in zip(marks, await found(parts, principal, asked), strict=True):
            if mark in (0, 99):
                assert analysis.status is COMPLETED, mark
                continue
            assert analysis.status is FAILED, mark
            assert analysis.error_code == "OPERATION_FAILED", mark
            assert analysis.attempts == 1, mark
            message = analysis.error_message or ""
            assert message.startswith("The result cannot be stored: "), (mark, message)
            assert "secret" not in message
        assert (await stored(parts)).annotations == 2


async def test_an_operation_that_fails_to_load_is_tried_again_and_then_given_up(
    parts: Parts, principal: Principal, image: Image, script: Script
) -> None:
    script.load_fails = [RuntimeError("weights are damaged")] * 9
    asked = await ask(parts, principal, image, "fake", count=2)
    database = parts.use_cases.database
    for attempt, pause in ((1, 2), (2, 4)):
        assert await parts.worker.drain() == 2
        for analysis in await found(parts, principal, asked):
            assert (analysis.status, analysis.attempts) == (QUEUED, attempt)
            assert analysis.error_code is None
        async with database.read() as connection:
            columns = select(analyses.c.updated_at, analyses.c.available_at)
            times = (await connection.execute(columns)).all()
        assert [(again - ended).total_seconds() for ended, again in times] == [pause] * 2
        await change_analyses(database, available_at=datetime.now(UTC))
    await parts.worker.drain()
    for analysis in await found(parts, principal, asked):
        assert (analysis.status, analysis.error_code) == (FAILED, "PLUGIN_ERROR")
        assert analysis.error_message is not None
        assert analysis.error_message.startswith("Given up after 3 attempts: ")
        assert "weights are damaged" in analysis.error_message
    told = ["queued", "processing"] * 3 + ["failed"]
    assert await tell_of(database, asked[0].id) == told
    assert any("damaged" in f.message for f in parts.use_cases.host.failures)


async def test_an_operation_that_loads_the_second_time_completes(settings: Settings) -> None:
    script = Script(load_fails=[RuntimeError("busy")])
    async with house_of(settings, FakeOperation(script=script)) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        asked = await ask(parts, principal, image, "fake", count=2)
        async with working(parts):
            await until_all(parts, principal, asked)
        assert {a.attempts for a in await found(parts, principal, asked)} == {2}


async def test_an_unavailable_operation_says_what_to_do(settings: Settings) -> None:
    operation = FakeOperation("heavy", requires=("no_such_package",), extra="thing[models]")
    async with house_of(settings, operation, FakeOperation()) as parts:
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        asked = [
            *await ask(parts, principal, image, "heavy"),
            *await ask(parts, principal, image, "fake"),
        ]
        assert await parts.worker.drain() == 2
        heavy, light = await found(parts, principal, asked)
        assert (heavy.status, heavy.error_code) == (FAILED, "OPERATION_UNAVAILABLE")
        assert "pip install 'thing[models]'" in (heavy.error_message or "")
        assert light.status is COMPLETED


async def test_a_missing_region_is_a_skip(settings: Settings) -> None:
    face = Target.PROMINENT_FACE
    operation = FakeOperation(missing_region={t: MissingRegion.SKIP for t in Target})
    finder = FakeFinder(face, None)
    quiet = settings.model_copy(update={"disabled_plugins": ("bbox",)})
    parts = assemble(quiet, [given(operation, finders=[finder])])
    async with parts.running():
        principal = await parts.use_cases.access.local()
        image = await add_image(parts, principal)
        params: dict[str, Any] = {"target": face.value, "face_context": "whole_image"}
        asked = [
            *await ask(parts, principal, image, "fake", **params),
            *await ask(parts, principal, image, "fake"),
        ]
        assert await parts.worker.drain() == 2
        skipped, whole = await found(parts, principal, asked)
        assert (skipped.status, skipped.error_code) == (FAILED, "SKIPPED")
        assert "No prominent face" in (skipped.error_message or "")
        assert whole.status is COMPLETED


async def test_rows_that_no_longer_fit_fail_alone(
    parts: Parts, principal: Principal, image: Image
) -> None:
    """A plugin was removed, or its params changed, after the analysis was asked for."""
    asked = await ask(parts, principal, image, "fake", count=4)
    changes: list[dict[str, Any]] = [
        {"operation": "uninstalled"},
        {"parameters": {"mark": "many"}},
        {"parameters": {"target": "left_foot"}},
    ]
    async with parts.use_cases.database.write() as transaction:
        for analysis, change in zip(asked, changes, strict=False):
            await transaction.connection.execute(
                update(analyses).where(analyses.c.id == analysis.id).values(**change)
            )
    assert await parts.worker.drain() == 4
    answers = await found(parts, principal, asked)
    codes = ["UNKNOWN_OPERATION", "INVALID_PARAMS", "TARGET_NOT_SUPPORTED", None]
    assert [a.error_code for a in answers] == codes
    assert [a.status for a in answers] == [FAILED, FAILED, FAILED, COMPLETED]
    assert "'uninstalled'" in (answers[0].error_message or "")
    assert {a.attempts for a in answers} == {1}
