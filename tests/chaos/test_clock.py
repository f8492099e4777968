"""A node whose clock is wrong: it neither takes what others hold nor loses what it holds."""

from pathlib import Path

import pytest

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.chaos.forms import START, long_form
from tests.chaos.ledger import Ledger
from tests.chaos.postgres import postgres_server
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.processes import Marks
from tests.scene import Scene

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_WRONG = """

import datetime as _datetime


class _Wrong(_datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + _datetime.timedelta(seconds={seconds})


def _set_wrong():
    from opsin.core.queue import analysis_queue, clock

    analysis_queue.datetime = clock.datetime = _Wrong


_set_wrong()
"""


@pytest.mark.parametrize("seconds", [3600, pytest.param(-3600, marks=long_form)])
async def test_a_worker_whose_clock_is_an_hour_wrong(
    settings: Settings, tmp_path: Path, seconds: int
) -> None:
    """Beside one whose clock is right; the queue's clock is shifted, as somebody's hand would."""
    right_folder, wrong_folder = tmp_path / "right", tmp_path / "wrong"
    right_folder.mkdir()
    wrong_folder.mkdir()
    right = Marks(right_folder, 0.02, files=True)
    wrong = Marks(wrong_folder, 0.02, files=True, more=_WRONG.format(seconds=seconds))
    with postgres_server() as postgres:
        url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"
        operation = FakeOperation("write_mark", params=MarkParams)
        async with house_of(settings, operation, database_url=url) as parts:
            principal = await parts.use_cases.access.local()
            ledger = Ledger(parts, principal)
            scene = Scene(parts, principal, tmp_path, lease=2)
            with (
                scene.start("worker", marks=right, worker_batch=32) as first,
                scene.start("worker", marks=wrong, worker_batch=32) as second,
            ):
                await first.prints("working", START)
                await second.prints("working", START)
                await ledger.ask(400)
                await ledger.until_ended(120)
                assert [await first.stop(), await second.stop()] == [0, 0]
            verdict = await ledger.judge()
            assert verdict.begun_again == 0  # nobody took what another held
            assert right.lines() and wrong.lines()  # both had their share
            assert len(right.lines()) + len(wrong.lines()) == 400
