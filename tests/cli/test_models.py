"""`opsin models`: listed with their state, pulled over real HTTP, imported, verified, removed."""

import hashlib
import json
from pathlib import Path

import pytest

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import Ended, file_server, install_sample_plugin, opsin
from tests.core.hub_server import COMMIT, FILES, REPOSITORY, serving_hub

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

    def configure(self, url: str, revision: str = "main") -> None:
        """Let a model of a hub serve instead, as the operator's file says."""
        (self.folder / "models.toml").write_text(
            f'[measure_with_weights.scale]\nrepository = "{REPOSITORY}"\n'
            f'revision = "{revision}"\nfiles = {json.dumps(list(FILES))}\nlicence = "MIT"\n'
        )
        self.settings |= {"models": "models.toml", "hub_url": url}

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


def test_a_model_of_the_operators_choice(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9")
    with serving_hub() as hub:
        machine.configure(hub.url)
        (name,) = (name for name in machine.models() if name.startswith("openai--tiny-clip-"))
        assert f"opsin models pull {name}" in machine.run("operations").out
        assert machine.run("models", "verify", name).code == ExitCode.UNAVAILABLE
        pulled = machine.run("models", "pull", name, "--json").json()
    assert [file["name"] for file in pulled["files"]] == list(FILES)
    told = machine.models()[name]
    assert (
        told.items()
        >= {
            "state": "present",
            "kind": "repository",
            "origin": f"{REPOSITORY}@main",
            "revision": "main",
            "commit": COMMIT,
            "licence": "MIT",
            "size_bytes": sum(map(len, FILES.values())),
            "fingerprint": pulled["fingerprint"],
            "roles": ["measure_with_weights.scale"],
            "missing_reason": None,
        }.items()
    )
    assert machine.run("models", "verify").code == ExitCode.OK
    config = tmp_path / "opsin-data" / "models" / name / "config.json"
    config.write_bytes(b"other")
    ended = machine.run("models", "verify", name)
    assert ended.code == ExitCode.FAILED
    assert f"\n{name}: the sha256 of config.json begins with" in ended.out
    (model,) = machine.run("models", "verify", name, "--json").json()["models"]
    assert (model["ok"], len(model["files"])) == (False, 2)
    assert machine.models()[name]["state"] == "corrupt"
    assert machine.run("models", "rm", name).out == f"{name} is not here any more\n"
    assert machine.models()[name]["state"] == "missing"


def test_a_folder_is_carried_and_another_choice_leaves_it_over(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9")
    machine.configure("http://127.0.0.1:9")
    machine.settings["offline"] = "true"
    carried = tmp_path / "stick"
    carried.mkdir()
    for file, content in FILES.items():
        (carried / file).write_bytes(content)
    (name,) = (name for name in machine.models() if name.startswith("openai--"))
    assert f"opsin models import {name} FOLDER" in machine.run("models", "pull", name).err
    ended = machine.run("models", "import", name, carried)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert ended.out.startswith(f"{name} is here, fingerprint ")
    machine.configure("http://127.0.0.1:9", revision="v2")
    assert f"nothing needs {name} (2.0 MB) any more: opsin models rm {name}" in (
        machine.run("models", "list").out
    )
    ended = machine.run("models", "rm", name, "--json")
    assert ended.json() == {"name": name, "removed": True}
    assert machine.run("models", "list", "--json").json()["leftovers"] == []


def test_a_gated_model_needs_the_token(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9")
    with serving_hub() as hub:
        hub.token = "hf_s3cr3t"
        machine.configure(hub.url)
        (name,) = (name for name in machine.models() if name.startswith("openai--"))
        ended = machine.run("models", "pull", name)
        assert (ended.code, "OPSIN_HUB_TOKEN" in ended.complaint) == (ExitCode.FAILED, True)
        ended = machine.run("models", "pull", name, hub_token="hf_s3cr3t", log_level="debug")
    assert ended.code == ExitCode.OK
    assert "hf_s3cr3t" not in ended.err


def test_a_file_of_models_that_cannot_be_used_stops_every_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9")
    machine.configure("http://127.0.0.1:9")
    file = tmp_path / "models.toml"
    file.write_text(file.read_text() + "\n[no_such_operation.encoder]\nfolder = 'x'\n")
    for command in (("models", "list"), ("operations",), ("serve",)):
        ended = machine.run(*command)
        assert ended.code == ExitCode.USAGE
        assert "models.toml line 7, [no_such_operation.encoder]" in ended.complaint
