"""`opsin keys`: a key made here opens a server there, until it is revoked."""

import time
from pathlib import Path

import httpx

from opsin.cli.exit_codes import ExitCode
from opsin.core.known_keys import KNOWN_SECONDS
from tests.cli.command import opsin, serving

VIEWER = {"query": "{ viewer { name company } }"}


def test_keys_open_a_server_until_they_are_revoked(tmp_path: Path) -> None:
    made = opsin("keys", "create", "robot", "--company", "whales", cwd=tmp_path)
    assert made.code == ExitCode.OK
    key = made.out.removesuffix("\n")
    assert key.startswith("opsin_") and len(key.split()) == 1
    assert "robot" in made.complaint and key not in made.err

    local = opsin("keys", "create", "ours", "--json", cwd=tmp_path).json()
    assert (local["name"], local["company"]) == ("ours", "local")

    with serving("--auth", "keys", "--host", "0.0.0.0", cwd=tmp_path) as (server, url):
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.post("/graphql", json=VIEWER).status_code == 401
            for text, company in ((key, "whales"), (local["key"], "local")):
                headers = {"Authorization": f"Bearer {text}"}
                answer = client.post("/graphql", json=VIEWER, headers=headers)
                assert answer.json()["data"]["viewer"]["company"] == company
            prefix = key.split("_")[1]
            revoked = opsin("keys", "revoke", prefix, "--company", "whales", cwd=tmp_path)
            assert (revoked.code, revoked.err) == (ExitCode.OK, "")
            time.sleep(KNOWN_SECONDS)
            headers = {"Authorization": f"Bearer {key}"}
            assert client.post("/graphql", json=VIEWER, headers=headers).status_code == 401
        assert server.stop() == 0
        assert key not in server.err

    listed = opsin("keys", "list", "--company", "whales", "--json", cwd=tmp_path).json()["keys"]
    assert [one["name"] for one in listed] == ["robot"]
    assert listed[0]["revoked_at"] is not None and listed[0]["last_used_at"] is not None
    assert key.split("_", 2)[2] not in str(listed)
    table = opsin("keys", "list", cwd=tmp_path)
    assert "ours" in table.out and "robot" not in table.out


def test_keys_that_are_not_there(tmp_path: Path) -> None:
    unknown = opsin("keys", "list", "--company", "whalez", cwd=tmp_path)
    assert unknown.code == ExitCode.USAGE
    assert "'whalez'" in unknown.complaint
    opsin("groups", "add", "whales", "ada@example.org", cwd=tmp_path)
    none = opsin("keys", "list", "--company", "whales", cwd=tmp_path)
    assert (none.code, none.out) == (ExitCode.OK, "")
    assert "'whales' has no keys" in none.complaint
    made = opsin("keys", "create", "robot", "--json", cwd=tmp_path).json()
    assert opsin("keys", "revoke", "0123456789ab", cwd=tmp_path).code == ExitCode.USAGE
    assert opsin("keys", "revoke", made["id"], cwd=tmp_path).code == ExitCode.OK
