"""What runs beside the doors: one that fails is told of, and the others go on."""

from dataclasses import replace
from typing import Any, cast

import pytest

from opsin.assembly import Parts
from opsin.assembly.duties import duties
from opsin.core.errors import OperationFailed
from opsin.settings import Settings
from tests.core.engine.workbench import until


class Failing:
    async def run(self) -> None:
        raise OperationFailed("no analysis has come further: one hangs")


async def test_one_that_fails_is_told_of(
    house: Parts, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    parts = replace(house, backfill=cast("Any", Failing()))
    async with duties(settings, parts):
        await until(lambda: bool(caplog.records))
    (record,) = caplog.records  # and nothing of those that were only ended
    assert record.levelname == "ERROR"
    assert record.getMessage() == (
        "the backfill has ended; restart this server: no analysis has come further: one hangs"
    )
    assert record.exc_info is None
