"""`opsin groups`: members are made, listed and removed."""

from pathlib import Path

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import opsin


def test_members_of_a_company(tmp_path: Path) -> None:
    for email in ("Ben@example.org", "ada@example.org"):
        added = opsin("groups", "add", "whales", email, cwd=tmp_path)
        assert added.code == ExitCode.OK, added.err
    members = opsin("groups", "list", "whales", "--json", cwd=tmp_path).json()["members"]
    assert [one["email"] for one in members] == ["ada@example.org", "ben@example.org"]
    assert "ada@example.org" in opsin("groups", "list", "whales", cwd=tmp_path).out
    removed = opsin("groups", "remove", "whales", "ben@example.org", cwd=tmp_path)
    assert removed.code == ExitCode.OK
    left = opsin("groups", "list", "whales", "--json", cwd=tmp_path).json()["members"]
    assert [one["email"] for one in left] == ["ada@example.org"]
    none = opsin("groups", "list", "whalez", cwd=tmp_path)
    assert (none.code, none.out) == (ExitCode.OK, "")
    assert "'whalez' has no members" in none.complaint
    assert opsin("groups", "remove", "none", "ben@example.org", cwd=tmp_path).code != ExitCode.OK
    assert opsin("groups", "add", "whales", "nobody", cwd=tmp_path).code != ExitCode.OK
