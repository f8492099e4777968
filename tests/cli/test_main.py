"""The command as a whole: quick to help, one line for each error, codes that mean something."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import opsin as package
from opsin.cli.exit_codes import EXIT_CODES, ExitCode, exit_code_of
from opsin.cli.main import app
from opsin.core import errors
from tests.cli.command import opsin, opsin_anew

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = {
    "PIL", "alembic", "fastapi", "graphql", "httpx", "numpy", "orjson", "pydantic_settings",
    "sqlalchemy", "starlette", "strawberry", "torch", "uvicorn", "websockets",
}  # fmt: skip


def subclasses(kind: type[errors.OpsinError]) -> set[type[errors.OpsinError]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


def commands(command: Any, path: str = "opsin") -> dict[str, Any]:
    """Every command that does something, by how it is typed."""
    if not hasattr(command, "commands"):
        return {path: command}
    return {
        name: found
        for below, one in command.commands.items()
        for name, found in commands(one, f"{path} {below}").items()
    }


COMMANDS = commands(typer.main.get_command(app))


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom opsin.cli import main\nsys.argv = ['opsin', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print('code', end.code)\n"
        "print('modules', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "code 0" in done.stdout
    modules = done.stdout.rpartition("modules ")[2].split()
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert "opsin.settings" not in modules


def test_help_is_quick(tmp_path: Path) -> None:
    # 0.3 s of the processor on an idle machine; others that want its caches only make it more.
    runs = [opsin_anew("--help", cwd=tmp_path) for _ in range(5)]
    assert min(seconds for _, seconds in runs) < 0.4 * 2
    assert all(name.split()[1] in runs[0][0].out for name in COMMANDS)


def test_version(tmp_path: Path) -> None:
    assert opsin_anew("--version", cwd=tmp_path)[0].out == f"opsin {package.__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--port", "70000"]])
def test_wrong_usage_is_code_2(tmp_path: Path, arguments: list[str]) -> None:
    ended, _ = opsin_anew(*arguments, cwd=tmp_path)
    assert ended.code == ExitCode.USAGE
    assert ended.out == ""
    assert "Usage" in ended.err


def test_a_setting_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    ended = opsin("operations", cwd=tmp_path, settings={"port": "many"})
    assert ended.code == ExitCode.USAGE
    assert ended.complaint.startswith("opsin: OPSIN_PORT: ")


def test_tracebacks_come_only_with_debug(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    arguments = ("db", "upgrade", "--data-dir", tmp_path / "file" / "below")
    assert "cannot be used" in opsin(*arguments, cwd=tmp_path).complaint
    ended = opsin("--debug", *arguments, cwd=tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "Traceback" in ended.err


@pytest.mark.parametrize("options", [[], ["--debug"]])
def test_an_error_nobody_foresaw_is_one_line_too(options: list[str]) -> None:
    script = (
        "import sys\nimport opsin.settings\nfrom opsin.cli import main\n"
        "def fail(**overrides): raise RuntimeError('out of\\nthe blue')\n"
        "opsin.settings.load_settings = fail\n"
        f"sys.argv = ['opsin', *{options}, 'operations']\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.splitlines()[-1].startswith(
        "opsin: unexpected RuntimeError: out of the blue"
    )
    assert ("Traceback" in done.stderr) is bool(options)


def test_every_error_has_an_exit_code() -> None:
    # Of the tree itself: the tests of others declare errors of their own.
    tree = {kind for kind in subclasses(errors.OpsinError) if kind.__module__ == errors.__name__}
    assert set(EXIT_CODES) == tree
    assert ExitCode.OK not in EXIT_CODES.values()


def test_a_plugins_own_error_has_the_code_of_its_kind() -> None:
    class TooBlurred(errors.InvalidImage):
        pass

    assert exit_code_of(TooBlurred("")) is ExitCode.USAGE
    assert exit_code_of(errors.OperationUnavailable("")) is ExitCode.UNAVAILABLE


def documented() -> dict[str, str]:
    """The sections of the document by the command they are headed with."""
    parts = re.split(r"^#+ `(opsin [a-z -]+)`$", DOCS.read_text("utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_is_documented_and_no_other() -> None:
    assert set(documented()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_with_an_example(name: str) -> None:
    section = documented()[name]
    options = [
        option
        for parameter in COMMANDS[name].params
        if not getattr(parameter, "hidden", False)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    ]
    assert [option for option in options if f"`{option}" not in section] == []
    assert f"$ {name}" in section


def test_every_exit_code_is_documented() -> None:
    text = DOCS.read_text("utf-8")
    assert [code for code in ExitCode if f"| {code.value} |" not in text] == []
