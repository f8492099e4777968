"""Clients that start the server themselves, by the program that they look for."""

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import pytest

from opsin.settings import environment_with
from tests.cli.command import opsin
from tests.compat.pekat.conftest import png, scene
from tests.compat.pekat.sdks import session

LONGEST = 60


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A project, and beside it the program that clients start."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pekat_package.json").write_text("{}")
    (project / "opsin_flow.json").write_text('[{"operation": "saliency", "key": "saliency"}]')
    (tmp_path / "scene.png").write_bytes(png(scene()))
    assert opsin("pekat", "install", tmp_path / "dist", cwd=tmp_path).code == 0
    return tmp_path


def program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            folder / "dist" / "pekat_vision" / "pekat_vision",
            "-data",
            folder / "project",
            *arguments,
        ],
        env=environment_with(),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("is_old", [False, True])
async def test_a_client_starts_uses_and_stops_the_server(
    installed: Path, old_sdk: Path, waits: bool, is_old: bool
) -> None:
    asked = {
        "project": str(installed / "project"),
        "dist": str(installed / "dist"),
        "folder": str(installed),
        "client": {"wait_for_init_model": waits},
        "calls": [
            {"file": "scene.png", "as": way, "response_type": kind}
            for way in ("array", "path")
            for kind in ("context", "heatmap")
        ],
    }
    about, *answers = await session("sdk_session.py", asked, old_sdk if is_old else None)
    assert about["ended_with"] == 0
    assert about["shared_memory"] is not is_old
    for answer in answers:
        assert answer["context"]["saliency"]["peak"] is not None  # from the project's flow
    log = await asyncio.to_thread((installed / "project/opsin-data/opsin.log").read_text)
    assert "Traceback" not in log


def test_a_port_that_is_taken_is_said_in_the_words_clients_know(installed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = program(installed, "-port", str(taken.getsockname()[1]), "-stop_key", "a")
    assert ended.returncode != 0
    assert "OSError: [Errno 48] Address already in use" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-port", "0", "-host", "0.0.0.0"), "OPSIN_AUTH=keys"),
        (("-port", "0", "-password", "a"), "OPSIN_AUTH=keys"),
        ((), "-port"),
        (("-port", "none"), "-port"),
    ],
)
def test_what_the_program_refuses(installed: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = program(installed, *arguments)
    assert ended.returncode == 2 and says in ended.stderr
    assert "__SERVER_RUNNING__" not in ended.stdout


def test_a_flow_that_cannot_be_run_ends_the_start(installed: Path) -> None:
    (installed / "project" / "opsin_flow.json").write_text(json.dumps([{"operation": "nothing"}]))
    ended = program(installed, "-port", "0")
    assert ended.returncode == 2 and "OPSIN_PEKAT_FLOW" in ended.stderr


def test_another_program_is_not_replaced(tmp_path: Path) -> None:
    theirs = tmp_path / "dist" / "pekat_vision" / "pekat_vision"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"\x7fELF\xff another program")
    ended = opsin("pekat", "install", tmp_path / "dist", cwd=tmp_path)
    assert ended.code == 2 and "is there already" in ended.err
    assert theirs.read_bytes().startswith(b"\x7fELF")
