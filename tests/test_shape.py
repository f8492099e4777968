"""The shape of the repository: docstrings, sizes, names, and what a file may say of its machine."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import opsin

ROOT = Path(__file__).parents[1]
LONGEST = 500  # lines; look twice at 300
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers"}
# An absolute path into somebody's machine; the look-behind leaves addresses and relative paths be.
MACHINE_PATH = re.compile(r"(?:(?<![\w./~-])|file://)/(?:work|root|home|Users)/\w")


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def is_declaration(node: ast.stmt) -> bool:
    """Whether a statement may stand in an `__init__.py`: an import, `__all__`, `__version__`."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id in {"__all__", "__version__"}
        for target in node.targets
    )


def test_every_test_folder_is_a_package() -> None:
    # Without it, pytest puts tests/ on the path, and tests/graphql hides the graphql-core library.
    folders = {
        folder
        for path in python_files("tests")
        for folder in path.parents
        if folder.is_relative_to(ROOT / "tests")
    }
    assert [relative(f) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def test_every_module_says_what_it_owns() -> None:
    silent = [
        relative(path) for path in python_files("opsin") if not ast.get_docstring(parse(path))
    ]
    assert silent == []


def test_no_file_is_too_long() -> None:
    lines = {
        relative(p): len(p.read_text("utf-8").splitlines()) for p in python_files("opsin", "tests")
    }
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_init_files_hold_no_logic() -> None:
    logic = []
    for path in python_files("opsin", "tests"):
        if path.name != "__init__.py":
            continue
        body = parse(path).body
        if body and ast.get_docstring(parse(path)) is not None:
            body = body[1:]
        logic += [f"{relative(path)}:{node.lineno}" for node in body if not is_declaration(node)]
    assert logic == []


def test_names_say_something() -> None:
    empty = [
        relative(path)
        for path in python_files("opsin", "tests")
        if any(
            EMPTY_NAMES & set(Path(part).stem.lower().split("_"))
            for part in path.relative_to(ROOT).parts
        )
    ]
    assert empty == []


def test_changelog_tops_out_at_this_version() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert versions[:1] == [opsin.__version__]


def test_no_file_names_a_machine() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout: which files are ours is unknown")
    found = []
    for name in listing.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file():  # deleted, not yet committed
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:  # a picture or an archive
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{name}:{number}")
    assert found == []
