"""`opsin audit`: what was done on this machine is read, and followed."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

from opsin.cli.exit_codes import ExitCode
from tests.cli.command import OPSIN, opsin
from tests.core.sign_in import sign_in_on


def test_what_the_command_line_did(tmp_path: Path) -> None:
    made = opsin("keys", "create", "robot", "--company", "whales", "--json", cwd=tmp_path).json()
    shown = opsin("audit", cwd=tmp_path)
    assert shown.code == ExitCode.OK, shown.err
    first, second = shown.out.splitlines()
    assert " operator command line: company.create company " in first
    assert f" operator command line: key.create key {made['id']} " in second
    assert made["key"].split("_", 2)[2] not in shown.out
    lines = opsin("audit", "--action", "key.create", "--json", cwd=tmp_path).out.splitlines()
    (entry,) = map(json.loads, lines)
    assert (entry["subject_id"], entry["details"]["name"]) == (made["id"], "robot")
    assert opsin("audit", "--company", "whales", "--limit", 1, cwd=tmp_path).out == second + "\n"


def test_which_of_somebodys_keys_it_was(tmp_path: Path) -> None:
    opsin("keys", "create", "for the database", cwd=tmp_path)
    url = f"sqlite:///{tmp_path / 'opsin-data' / 'opsin.sqlite3'}"
    account_id, key_id = asyncio.run(_made_by_a_key(url))
    shown = opsin("audit", "--key", key_id, cwd=tmp_path)
    (line,) = shown.out.splitlines()
    assert f" account laptop (key {key_id}): key.create key " in line
    (line,) = opsin("audit", "--key", key_id, "--json", cwd=tmp_path).out.splitlines()
    entry = json.loads(line)
    assert (entry["actor_id"], entry["key_id"]) == (account_id, key_id)


async def _made_by_a_key(url: str) -> tuple[str, str]:
    """The ids of an account, and of its key, with which another was made."""
    async with sign_in_on(url) as house:
        account = await house.person()
        key, text = await house.api_keys.create(await house.caller(), "laptop")
        await house.api_keys.create(await house.access.authenticate(text), "robot")
        return account.id, key.id


def test_nothing_and_nobody(tmp_path: Path) -> None:
    nothing = opsin("audit", cwd=tmp_path)
    assert (nothing.code, nothing.out) == (ExitCode.OK, "")
    assert "nothing is noted" in nothing.complaint
    unknown = opsin("audit", "--company", "whalez", cwd=tmp_path)
    assert unknown.code == ExitCode.USAGE and "'whalez'" in unknown.complaint
    for time in ("yesterday", "2026-01-01T00:00:00"):
        wrong = opsin("audit", "--since", time, cwd=tmp_path)
        assert wrong.code == ExitCode.USAGE and time in wrong.complaint


def test_following(tmp_path: Path) -> None:
    """What was there is shown once, then what comes; Ctrl-C ends it well."""
    opsin("keys", "create", "first", cwd=tmp_path)
    command = [*OPSIN, "audit", "--follow", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as following:
        try:
            assert following.stdout is not None
            lines = iter(following.stdout.readline, b"")
            before = [json.loads(next(lines))["action"] for _ in range(2)]
            assert before == ["company.create", "key.create"]
            opsin("keys", "create", "second", cwd=tmp_path)
            entry = json.loads(next(lines))
            assert (entry["action"], entry["details"]["name"]) == ("key.create", "second")
            following.send_signal(signal.SIGINT)
            assert following.wait(30) == 0
            assert list(lines) == []
        finally:
            following.kill()
