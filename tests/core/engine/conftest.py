"""The workbench: engines that are closed again, with no thread left behind."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import Loadable
from tests.core.engine.workbench import Workbench, until

MakeWorkbench = Callable[..., Workbench]


@pytest.fixture
async def workbench(tmp_path: Path) -> AsyncIterator[MakeWorkbench]:
    made: list[Workbench] = []
    before = set(threading.enumerate())  # another test's are that test's matter

    def make(*parts: Loadable, **options: Any) -> Workbench:
        made.append(Workbench(tmp_path, *parts, **options))
        return made[-1]

    yield make
    for bench in made:
        await bench.close()
    await until(lambda: not any(_is_ours(one) for one in set(threading.enumerate()) - before))


def _is_ours(thread: threading.Thread) -> bool:
    return thread.name.startswith("opsin-")
