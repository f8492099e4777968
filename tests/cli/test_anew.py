"""Commands in a fresh interpreter: each imports what it needs by itself, and not much more."""

import re
from pathlib import Path

import pytest

from tests.cli.command import opsin, opsin_anew

ENGINE = "opsin.core.engine"
_IMPORTED = re.compile(r"^import time: .*\| +(opsin[\w.]*)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "has_data", "is_light"),
    [
        ("keys list", True, True),
        ("accounts list", True, True),
        ("audit", True, True),
        ("plugins list", False, False),
        ("models list", True, False),
        ("operations", True, False),
    ],
)
def test_a_command_imports_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, has_data: bool, is_light: bool
) -> None:
    data = ("--data-dir", tmp_path / "data") if has_data else ()
    if command == "keys list":
        assert opsin("keys", "create", "me", *data, cwd=tmp_path).code == 0
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    ended, _ = opsin_anew(*command.split(), *data, cwd=tmp_path)
    assert ended.code == 0, ended.err
    modules = set(_IMPORTED.findall(ended.err))
    assert f"opsin.cli.{command.split()[0]}" in modules
    if is_light:
        assert not {one for one in modules if one == ENGINE or one.startswith(f"{ENGINE}.")}
