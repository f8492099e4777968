"""`opsin db`: the database brought to the newest tables."""

from pathlib import Path

from opsin.cli.exit_codes import ExitCode
from opsin.storage.schema import newest_revision
from tests.cli.command import opsin


def test_upgrade_from_nothing_and_again(tmp_path: Path) -> None:
    here = ("--data-dir", tmp_path / "data")
    newest = newest_revision()
    before = opsin("db", "current", *here, cwd=tmp_path)
    assert (before.code, before.out) == (ExitCode.OK, "(empty)\n")
    assert "opsin db upgrade" in before.complaint
    assert not (tmp_path / "data").exists()  # looking makes nothing
    assert opsin("db", "upgrade", *here, cwd=tmp_path).out == f"(empty) -> {newest}\n"
    assert opsin("db", "upgrade", *here, cwd=tmp_path).out == f"{newest} -> {newest}\n"
    after = opsin("db", "current", *here, cwd=tmp_path)
    assert (after.out, after.err) == (f"{newest}\n", "")


def test_databases_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "opsin-data").mkdir()
    (tmp_path / "opsin-data" / "opsin.sqlite3").write_bytes(b"this is no database" * 500)
    broken = opsin("db", "upgrade", cwd=tmp_path)
    assert broken.code == ExitCode.UNAVAILABLE
    assert "the database cannot be used" in broken.complaint
    settings = {"database_url": "postgresql://nobody@127.0.0.1:9/none"}
    away = opsin("db", "current", cwd=tmp_path, settings=settings)
    assert (away.code, away.complaint) == (
        ExitCode.UNAVAILABLE,
        "opsin: the database cannot be reached",
    )
    other = opsin("db", "current", cwd=tmp_path, settings={"database_url": "mysql://x@y/z"})
    assert other.code == ExitCode.USAGE
