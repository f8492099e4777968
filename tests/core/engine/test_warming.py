"""What is loaded before anybody asks, and that nothing has to go or wait for it."""

import logging
from pathlib import Path

import pytest

from opsin.core.contract import Box, FaceContext, Target
from opsin.core.engine import check_names
from opsin.core.engine.warming import to_warm
from opsin.core.errors import ConfigurationError
from opsin.core.testing import FakeFinder, FakeOperation, FakeParams, Script
from tests.core.engine.conftest import MakeWorkbench
from tests.core.engine.sized import SizedOperation
from tests.core.engine.test_device_memory import loaded
from tests.core.engine.workbench import host_of, marks_of, until

PERSON = FakeFinder(Target.PROMINENT_PERSON, Box(x_min=0, y_min=0, x_max=2, y_max=2))
FACE = FakeFinder(Target.PROMINENT_FACE, None)


class FaceOfImage(FakeParams):
    face_context: FaceContext = FaceContext.WHOLE_IMAGE


def names(asked: list[str], *operations: FakeOperation) -> list[str]:
    return [found.name for found, _ in to_warm(host_of(*operations, PERSON, FACE), asked)]


def test_finders_come_with_the_operations_whose_default_target_needs_them() -> None:
    whole = FakeOperation("whole")
    person = FakeOperation("person", default_target=Target.PROMINENT_PERSON)
    face = FakeOperation("face", default_target=Target.PROMINENT_FACE)
    lone = FakeOperation("lone", default_target=Target.PROMINENT_FACE, params=FaceOfImage)
    host = (whole, person, face, lone)
    assert names(["whole"], *host) == ["whole"]
    assert names(["person"], *host) == ["person", "fake_prominent_person"]
    assert names(["face"], *host) == ["face", "fake_prominent_person", "fake_prominent_face"]
    assert names(["lone"], *host) == ["lone", "fake_prominent_face"]
    assert names(["fake_prominent_face"], *host) == ["fake_prominent_face"]
    assert names(["person", "face", "person"], *host)[:2] == ["person", "face"]
    assert names([], *host) == []


def test_a_target_without_a_finder_is_no_obstacle() -> None:
    face = FakeOperation("face", default_target=Target.PROMINENT_FACE)
    assert [found.name for found, _ in to_warm(host_of(face), ["face"])] == ["face"]


def test_names_that_nothing_has(caplog: pytest.LogCaptureFixture) -> None:
    host = host_of(FakeOperation("a"), FACE)
    check_names(host, "OPSIN_WARM", ["a", "fake_prominent_face"], strict=True)
    with pytest.raises(
        ConfigurationError, match="OPSIN_WARM: there is no operation or region finder 'b'"
    ):
        check_names(host, "OPSIN_WARM", ["a", "b"], strict=True)
    check_names(host, "OPSIN_WARM", ["b"], strict=False)  # its plugin may have failed
    assert "no operation or region finder 'b'" in caplog.text


async def test_they_are_loaded_one_after_the_other_beside_requests(
    workbench: MakeWorkbench,
) -> None:
    one, two, other = FakeOperation("one"), FakeOperation("two"), FakeOperation("other")
    bench = workbench(one, two, other)
    one.script.loading.close()
    bench.engine.preload(["two", "one"])
    assert loaded(bench) == set(), "it only begins: nobody has let the first one load"
    await one.script.loading.arrival()
    assert marks_of(await bench.run(bench.task("other", mark=1))) == [1]
    assert two.script.loads == 0
    one.script.loading.open()
    await until(lambda: loaded(bench) == {"one", "two", "other"})
    await bench.run(bench.task("one"), bench.task("two"))
    assert (one.script.loads, two.script.loads) == (1, 1)


async def test_one_that_fails_is_logged_and_the_next_is_loaded(
    workbench: MakeWorkbench, caplog: pytest.LogCaptureFixture
) -> None:
    bad = FakeOperation("bad", Script(load_fails=[ValueError("no luck")]))
    bench = workbench(bad, FakeOperation("good"))
    with caplog.at_level(logging.WARNING):
        bench.engine.preload(["bad", "good"])
        await until(lambda: loaded(bench) == {"good"})
    assert "no luck" in caplog.text
    # The first request need not wait for the pause after a failure that it has not seen.
    assert marks_of(await bench.run(bench.task("bad", mark=3))) == [3]


async def test_nothing_goes_for_what_nobody_asks_for(
    workbench: MakeWorkbench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = SizedOperation("a", tmp_path, 300), SizedOperation("b", tmp_path, 300)
    bench = workbench(a, b, FakeOperation("light"), device_memory="500kB")
    bench.engine.preload(["a", "b", "light"])
    await until(lambda: loaded(bench) == {"a", "light"})
    assert "operation 'b' is not loaded ahead: there is no room left for it" in caplog.text
    assert b.script.loads == 0
    assert bench.host.failures == ()
    assert marks_of(await bench.run(bench.task("b", mark=1))) == [1]
    assert loaded(bench) == {"b", "light"}


async def test_one_that_is_asked_for_while_it_loads_is_loaded_once(
    workbench: MakeWorkbench,
) -> None:
    one = FakeOperation("one")
    bench = workbench(one)
    one.script.loading.close()
    bench.engine.preload(["one"])
    await one.script.loading.arrival()
    request = bench.begin(bench.task("one", mark=5))
    await bench.queued(1, "operation 'one'")
    one.script.loading.open()
    assert marks_of(await request) == [5]
    assert one.script.loads == 1


async def test_an_engine_that_closes_while_it_warms(workbench: MakeWorkbench) -> None:
    one, two = FakeOperation("one"), FakeOperation("two")
    bench = workbench(one, two)
    one.script.loading.close()
    bench.engine.preload(["one", "two"])
    await one.script.loading.arrival()
    one.script.loading.open()
    await bench.engine.close()
    assert (one.script.closes, two.script.loads) == (1, 0)
