"""`opsin backup` and `opsin restore`: what they say, and how they end."""

import asyncio
from pathlib import Path

import pytest

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.settings import Settings
from tests.cli.command import opsin
from tests.core.house import add_image


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A data directory with one picture."""

    async def store() -> None:
        settings = Settings(data_dir=tmp_path / "opsin-data", worker=False)
        async with assemble(settings).running() as parts:
            await add_image(parts, await parts.use_cases.access.local())

    asyncio.run(store())
    return tmp_path


def test_saved_checked_and_restored(stored: Path) -> None:
    saved = opsin("backup", "nights/first", cwd=stored)
    assert saved.code == ExitCode.OK
    assert saved.out.startswith("nights/first: ")
    assert ", 1 files (" in saved.out
    assert "the secret key is in it" in saved.complaint
    assert (stored / "nights" / "first").stat().st_mode & 0o077 == 0
    key = stored / "nights" / "first" / "secret.key"
    assert key.read_bytes() == (stored / "opsin-data" / "secret.key").read_bytes()

    checked = opsin("restore", "nights/first", "--check", "--json", cwd=stored)
    assert (checked.json()["files"], checked.json()["rows"]["images"]) == (1, 1)
    restored = opsin("restore", "nights/first", "--data-dir", "new", cwd=stored)
    assert (restored.code, restored.complaint) == (ExitCode.OK, "the secret key was restored")
    assert (stored / "new" / "secret.key").read_bytes() == key.read_bytes()

    again = opsin("restore", "nights/first", "--data-dir", "new", cwd=stored)
    assert (again.code, "is not empty" in again.complaint) == (ExitCode.FAILED, True)


def test_without_what_is_kept_elsewhere(stored: Path) -> None:
    saved = opsin("backup", "b", "--no-secret", "--list-files", "--json", cwd=stored)
    told = saved.json()
    assert (told["secret_included"], told["files_copied"], told["files"]) == (False, False, 1)
    assert not (stored / "b" / "secret.key").exists()
    # A key that the settings give is never written.
    given = {"secret_key": "k" * 40}
    assert not opsin("backup", "c", "--json", cwd=stored, settings=given).json()["secret_included"]
    elsewhere = opsin("restore", "b", "--data-dir", "new", "--json", cwd=stored)
    assert (elsewhere.code, len(elsewhere.json()["missing"])) == (ExitCode.FAILED, 1)
    assert elsewhere.json()["secret"] == "none"


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["backup", "b"], {"data_dir": "nothing"}, "there is no database"),
        (["backup", "b", "--since", "opsin-data"], {}, "is no backup"),
        (["backup", "b"], {"blob_url": "memory://"}, "memory://"),
        (["backup", "opsin-data"], {}, "is there already"),
        (["restore", "nowhere"], {}, "is no whole backup"),
        (["restore", "nowhere"], {"blob_url": "memory://"}, "memory://"),
    ],
)
def test_what_cannot_be_done_is_said(
    stored: Path, arguments: list[str], settings: dict[str, str], words: str
) -> None:
    ended = opsin(*arguments, cwd=stored, settings=settings)
    assert ended.code in (ExitCode.USAGE, ExitCode.FAILED)
    assert words in ended.complaint
