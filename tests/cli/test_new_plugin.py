"""`opsin plugins new` and `opsin plugins check`: from nothing to a plugin that holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opsin.cli.new_plugin import make_plugin, template_folder
from opsin.core.errors import Conflict, InvalidInput, StorageError
from tests.cli.command import NO_BUILTINS, environment, install, opsin

BROKEN = """
from opsin import Operation, Params, Result, Runner, hookimpl

class Count(Result):
    number: int

class Counter(Runner):
    uses_device = False
    seen = 0
    def run(self, batch):
        self.seen += len(batch)
        return [Count(number=self.seen) for _ in batch]

class CountPictures(Operation):
    name = "count_pictures"
    version = "1"
    description = "Never the same twice."
    result = Count
    def load(self, context):
        return Counter()

@hookimpl
def opsin_operations():
    return [CountPictures()]
"""


@pytest.mark.parametrize(
    ("name", "folder", "module", "operation", "result"),
    [
        ("sharpness", "opsin-sharpness", "opsin_sharpness", "measure_sharpness", "Sharpness"),
        ("fin-shape", "opsin-fin-shape", "opsin_fin_shape", "measure_fin_shape", "FinShape"),
        ("fin_shape2", "opsin-fin-shape2", "opsin_fin_shape2", "measure_fin_shape2", "FinShape2"),
    ],
)
def test_a_new_plugin_is_called_by_its_name_everywhere(
    tmp_path: Path, name: str, folder: str, module: str, operation: str, result: str
) -> None:
    made = make_plugin(name, tmp_path)
    assert made == tmp_path / folder
    source = (made / f"{module}.py").read_text("utf-8")
    assert f'name = "{operation}"' in source
    assert f"class {result}(Result)" in source
    project = (made / "pyproject.toml").read_text("utf-8")
    assert f'name = "{folder}"' in project
    for path in made.rglob("*"):
        assert "brightness" not in path.name
        if path.is_file():
            assert "brightness" not in path.read_text("utf-8").lower()
    template = [p for p in template_folder().rglob("*.*") if "__pycache__" not in p.parts]
    assert len([p for p in made.rglob("*.*") if p.is_file()]) == len(template)


@pytest.mark.parametrize("name", ["", "Upper", "2d", "a b", "../x", "-x", "class", "a__b", "é"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a plugin's name"):
        make_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "opsin-x").mkdir()
    with pytest.raises(Conflict):
        make_plugin("x", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        make_plugin("y", tmp_path / "file")


def test_a_new_plugin_works_at_once(tmp_path: Path) -> None:
    """Its own tests pass, in a server too, and so does the suite."""
    made = opsin("plugins", "new", "sharpness", cwd=tmp_path)
    assert made.out.strip() == "opsin-sharpness"
    assert "opsin plugins check opsin-sharpness" in made.err
    folder = tmp_path / "opsin-sharpness"
    install(tmp_path, "sharpness", (folder / "opsin_sharpness.py").read_text("utf-8"))
    checked = opsin("plugins", "check", "opsin-sharpness", "--json", cwd=tmp_path)
    assert checked.code == 0, checked.err
    assert {finding["verdict"] for finding in checked.json()} == {"passed"}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
        cwd=folder,
        env=environment(tmp_path, NO_BUILTINS),
        capture_output=True,
        timeout=110,
    )
    assert tests.returncode == 0, tests.stdout.decode()


def test_a_module_that_is_not_installed_can_be_checked(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "counting.py").write_text(BROKEN)
    checked = opsin("plugins", "check", "counting", cwd=tmp_path)
    assert checked.code == 1
    assert "deterministic" in checked.out and "failed" in checked.out
    findings = json.loads(opsin("plugins", "check", "counting", "--json", cwd=tmp_path).out)
    failed = {f["check"] for f in findings if f["verdict"] == "failed"}
    assert {"deterministic", "batch equals single"} <= failed


def test_what_is_not_there_and_params_that_are_none(tmp_path: Path) -> None:
    missing = opsin("plugins", "check", "no_such_plugin", cwd=tmp_path)
    assert missing.code == 1
    assert "no_such_plugin" in missing.out
    odd = opsin("plugins", "check", "quality", "--params", "[1]", cwd=tmp_path)
    assert odd.code == 2
    assert "--params must be a JSON object" in odd.complaint


def test_a_built_in_plugin_is_found_by_its_name(tmp_path: Path) -> None:
    checked = opsin("plugins", "check", "phash", "--json", cwd=tmp_path)
    assert checked.code == 0
    assert {finding["subject"] for finding in checked.json()} == {"perceptual_hash"}
