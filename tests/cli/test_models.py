"""`opsin models`: listed with their state, pulled over real HTTP, imported from a file."""

import hashlib
import json
from pathlib import Path

import pytest

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import Ended, file_server, install_sample_plugin, opsin

WEIGHTS = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class Machine:
    """A folder with the sample plugin, whose operation wants weights from a server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        options = {"sample": {"weights": {"url": f"{url}/tiny.bin", "sha256": SHA256[:12]}}}
        self.settings = {"plugin_options": json.dumps(options)}
        install_sample_plugin(folder)

    def run(self, *arguments: object, **settings: str) -> Ended:
        return opsin(*arguments, cwd=self.folder, settings=self.settings | settings)

    def models(self) -> dict[str, dict[str, object]]:
        ended = self.run("models", "list", "--json")
        assert (ended.code, ended.err) == (ExitCode.OK, "")
        return {one["name"]: one for one in ended.json()["models"]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "http://127.0.0.1:9")


def test_every_requirement_is_listed_with_its_state(machine: Machine) -> None:
    ended = machine.run("models", "list")
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    for text in ("mtcnn", "bundled", "tiny", "missing", "CC0-1.0", "300.0 kB", "opsin models pull"):
        assert text in ended.out


def test_weights_are_pulled_and_then_there(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "tiny.bin").write_bytes(WEIGHTS)
    with file_server(share) as url:
        machine = Machine(tmp_path / "here", url)
        ended = machine.run("models", "pull", "tiny")
    assert ended.code == ExitCode.OK
    assert ended.out == f"tiny is here, sha256 {SHA256}\n"
    # Nothing is left to download: the server is gone.
    assert machine.run("models", "pull", "tiny").code == ExitCode.OK
    models = machine.models()
    assert (models["tiny"]["state"], models["tiny"]["fingerprint"]) == ("present", SHA256)
    assert (models["mtcnn"]["state"], models["mtcnn"]["used_by"]) == ("bundled", ["face_finder"])
    assert len(str(models["mtcnn"]["fingerprint"])) == 64


def test_weights_that_are_not_the_right_ones_are_refused(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (share / "tiny.bin").write_bytes(b"something else")
    with file_server(share) as url:
        machine = Machine(tmp_path / "here", url)
        ended = machine.run("models", "pull", "tiny")
    assert ended.code == ExitCode.FAILED
    assert "nothing was kept" in ended.err
    assert machine.models()["tiny"]["state"] == "missing"


def test_a_server_that_is_not_there(machine: Machine) -> None:
    ended = machine.run("models", "pull", "tiny")
    assert ended.code == ExitCode.FAILED
    assert "the same command goes on from there" in ended.err


def test_weights_are_imported_from_a_file(machine: Machine) -> None:
    wrong, right = machine.folder / "wrong", machine.folder / "right"
    wrong.write_bytes(b"other")
    right.write_bytes(WEIGHTS)
    assert machine.run("models", "import", "tiny", wrong).code == ExitCode.USAGE
    ended = machine.run("models", "import", "tiny", right)
    assert (ended.code, ended.out) == (ExitCode.OK, f"tiny is here, sha256 {SHA256}\n")


def test_a_model_that_nobody_needs(machine: Machine) -> None:
    ended = machine.run("models", "pull", "huge")
    assert ended.code == ExitCode.USAGE
    assert "mtcnn" in ended.complaint
