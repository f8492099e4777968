"""`opsin accounts`, `opsin companies`: what they make opens the house, until it is undone."""

from pathlib import Path
from typing import Any

from opsin.cli.exit_codes import ExitCode
from opsin.core.access import Access
from opsin.core.errors import Unauthenticated
from opsin.core.passwords import Passwords
from opsin.core.rate_limits import RateLimits
from opsin.core.sessions import Sessions
from opsin.storage.database import Database
from tests.cli.command import Ended, opsin

ADA, PASSWORD = "ada@example.org", "пароль и соль"


def made(folder: Path, *options: str, email: str = ADA, password: bytes | None = None) -> Ended:
    given = PASSWORD.encode() + b"\n" if password is None else password
    return opsin("accounts", "create", email, "--password-stdin", *options, cwd=folder, given=given)


def accounts_in(folder: Path) -> list[dict[str, Any]]:
    document: dict[str, Any] = opsin("accounts", "list", "--json", cwd=folder).json()
    found: list[dict[str, Any]] = document["accounts"]
    return found


async def signs_in(folder: Path, password: str, email: str = ADA) -> bool:
    """Whether somebody can sign in to the database that the commands have left."""
    database = Database(f"sqlite:///{folder / 'opsin-data' / 'opsin.sqlite3'}")
    passwords = Passwords()
    try:
        access = Access(database, mode="keys")
        sessions = Sessions(database, access, passwords, RateLimits(database))
        await sessions.login(email, password)
    except Unauthenticated:
        return False
    finally:
        await passwords.close()
        await database.close()
    return True


async def test_accounts_are_made_changed_and_listed(tmp_path: Path) -> None:
    none = opsin("accounts", "list", cwd=tmp_path)
    assert (none.code, none.out, none.complaint) == (ExitCode.OK, "", "there are no accounts")
    first = made(tmp_path, "--company", "whales", "--name", "Ada Lovelace")
    assert (first.code, first.out) == (ExitCode.OK, "")
    assert first.complaint == f"{ADA} is account 1, of company 'whales'"
    second = opsin("accounts", "create", "Ben@Example.org", "--json", cwd=tmp_path).json()
    assert (second["number"], second["email"]) == (2, "ben@example.org")
    assert (second["company"], second["has_password"]) == ("ben@example.org", False)
    ada, ben = accounts_in(tmp_path)
    assert (ada["name"], ada["company"], ada["has_password"]) == ("Ada Lovelace", "whales", True)
    assert ben == second
    table = opsin("accounts", "list", cwd=tmp_path)
    assert "Ada Lovelace" in table.out and "argon2" not in table.out
    assert await signs_in(tmp_path, PASSWORD)
    assert not await signs_in(tmp_path, PASSWORD + "\n")
    assert not await signs_in(tmp_path, "", "ben@example.org")

    for email, password in ((ADA, b"another horse\r\n"), ("BEN@example.org", b"a horse of Ben")):
        changed = opsin(
            "accounts", "password", email, "--password-stdin", cwd=tmp_path, given=password
        )
        assert changed.code == ExitCode.OK, changed.err
    assert await signs_in(tmp_path, "another horse")
    assert await signs_in(tmp_path, "a horse of Ben", "ben@example.org")
    assert not await signs_in(tmp_path, PASSWORD)

    assert opsin("accounts", "disable", ADA, cwd=tmp_path).complaint == f"{ADA} is kept out"
    assert not await signs_in(tmp_path, "another horse")
    assert [one["is_active"] for one in accounts_in(tmp_path)] == [False, True]
    assert opsin("accounts", "enable", ADA, cwd=tmp_path).complaint == f"{ADA} is let in"
    assert await signs_in(tmp_path, "another horse")


async def test_accounts_that_cannot_be(tmp_path: Path) -> None:
    assert made(tmp_path).code == ExitCode.OK
    again = made(tmp_path, email=ADA.upper())
    assert again.code == ExitCode.FAILED
    assert again.complaint == "opsin: There is an account with this e-mail address"
    for ended in (
        made(tmp_path, email="nobody"),
        made(tmp_path, email="ben@example.org", password=b""),
        made(tmp_path, email="ben@example.org", password=b"short\n"),
        made(tmp_path, email="ben@example.org", password=b"x" * 1025),
        made(tmp_path, email="ben@example.org", password=b"x" * 100_000),
        made(tmp_path, email="ben@example.org", password=b"\xff" * 20),
        made(tmp_path, "--company", " ", email="ben@example.org"),
        made(tmp_path, "--name", "x" * 256, email="ben@example.org"),
        opsin("accounts", "password", ADA, cwd=tmp_path, given=b"another horse"),
        opsin(
            "accounts", "password", "no@example.org", "--password-stdin", cwd=tmp_path,
            given=b"another horse",
        ),
        opsin("accounts", "disable", "no@example.org", cwd=tmp_path),
        opsin("accounts", "enable", "nobody", cwd=tmp_path),
    ):  # fmt: skip
        assert (ended.code, ended.out) == (ExitCode.USAGE, ""), ended.err
        assert ended.complaint.startswith("opsin: ")
        assert PASSWORD not in ended.err
    assert [one["email"] for one in accounts_in(tmp_path)] == [ADA]
    assert await signs_in(tmp_path, PASSWORD)


def test_companies_are_linked_listed_and_unlinked(tmp_path: Path) -> None:
    none = opsin("companies", "list", cwd=tmp_path)
    assert (none.code, none.out, none.complaint) == (ExitCode.OK, "", "there are no companies")
    made(tmp_path, "--company", "whales")
    opsin("keys", "create", "robot", "--company", "seals", cwd=tmp_path)

    def links() -> dict[str, tuple[int, list[str]]]:
        found = opsin("companies", "list", "--json", cwd=tmp_path).json()["companies"]
        return {one["name"]: (one["members"], one["links"]) for one in found}

    assert links() == {"seals": (0, []), "whales": (1, [])}
    linked = opsin("companies", "link", "whales", "seals", cwd=tmp_path)
    assert (linked.code, linked.complaint) == (
        ExitCode.OK,
        "the members of 'whales' reach 'seals', with the role admin at most",
    )
    assert links() == {"seals": (0, []), "whales": (1, ["seals"])}
    table = opsin("companies", "list", cwd=tmp_path).out
    assert "seals" in table and "Reaches too" in table
    for ended in (
        opsin("companies", "link", "whales", "whalez", cwd=tmp_path),
        opsin("companies", "link", "whales", "whales", cwd=tmp_path),
        opsin("companies", "unlink", "whalez", "whales", cwd=tmp_path),
    ):
        assert (ended.code, ended.out) == (ExitCode.USAGE, ""), ended.err
    unlinked = opsin("companies", "unlink", "whales", "seals", cwd=tmp_path)
    assert unlinked.complaint == "the members of 'whales' do not reach 'seals' by a link"
    again = opsin("companies", "unlink", "whales", "seals", cwd=tmp_path)
    assert again.code == ExitCode.OK and "they did not before" in again.complaint
    assert links() == {"seals": (0, []), "whales": (1, [])}


def test_people_are_given_roles(tmp_path: Path) -> None:
    opsin("accounts", "create", "ada@example.org", "--company", "whales", cwd=tmp_path)
    change = ("accounts", "role", "ada@example.org")
    done = opsin(*change, "Viewer", cwd=tmp_path)
    assert done.complaint == "ada@example.org has role viewer in the company"
    added = opsin("groups", "add", "seals", "ada@example.org", "--role", "none", cwd=tmp_path)
    assert added.code == ExitCode.OK, added.err
    given = opsin(*change, "pipeline", "--company", "seals", cwd=tmp_path)
    assert given.code == ExitCode.OK, given.err
    linked = opsin("companies", "link", "seals", "whales", "--role", "annotator", cwd=tmp_path)
    assert linked.complaint.endswith("with the role annotator at most")
    listed = opsin("companies", "list", "--json", cwd=tmp_path).json()["companies"]
    roles = {one["name"]: one["link_roles"] for one in listed}
    assert roles == {"seals": {"whales": "annotator"}, "whales": {}}
    assert "whales (annotator)" in opsin("companies", "list", cwd=tmp_path).out
    for wrong in (
        (*change, "owner"),
        (*change, "viewer", "--company", "krill"),
        (*change, "viewer", "--dataset", "nowhere"),
        ("accounts", "role", "nobody@example.org", "viewer"),
        ("groups", "add", "seals", "ben@example.org", "--role", "owner"),
    ):
        assert opsin(*wrong, cwd=tmp_path).code == ExitCode.USAGE, wrong
