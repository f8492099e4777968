"""`opsin keys`: a key made here opens a server there, until it is revoked."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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


def test_keys_that_may_do_less(tmp_path: Path) -> None:
    whales = ("--company", "whales")
    admin = opsin("keys", "create", "admin", *whales, "--json", cwd=tmp_path).json()
    assert (admin["role"], admin["datasets"], admin["expires_at"]) == ("admin", {}, None)
    create = 'mutation { createDataset(input: {name: "line 3"}) { id } }'
    (made,) = asked(tmp_path, (admin["key"], create))
    dataset_id = made["createDataset"]["id"]

    options = (*whales, "--dataset", "line 3", "--role", "viewer", "--expires", "12h")
    tv = opsin("keys", "create", "tv", *options, "--json", cwd=tmp_path).json()
    assert (tv["role"], tv["datasets"]) == (None, {dataset_id: "viewer"})
    ends = datetime.fromisoformat(tv["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=11) < ends <= timedelta(hours=12)
    other = opsin("keys", "create", "other", *options[:6], "--json", cwd=tmp_path).json()
    change = ("keys", "role", other["prefix"])
    done = opsin(*change, "none", *options[:4], cwd=tmp_path)
    assert "no role in dataset 'line 3'" in done.complaint
    assert opsin(*change, "annotator", *whales, cwd=tmp_path).code == ExitCode.OK
    seen = "{ datasets { nodes { name } } viewer { permissions } }"
    of_tv, of_other = asked(tmp_path, (tv["key"], seen), (other["key"], seen))
    assert of_tv["datasets"] == of_other["datasets"] == {"nodes": [{"name": "line 3"}]}
    assert of_tv["viewer"]["permissions"] == []
    assert of_other["viewer"]["permissions"] == ["READ", "ANNOTATE", "UPLOAD", "ANALYZE"]
    table = opsin("keys", "list", *whales, cwd=tmp_path).out
    assert "annotator" in table and "1 dataset" in table


def asked(folder: Path, *questions: tuple[str, str]) -> list[dict[str, Any]]:
    """What a server on the folder answers to keys and documents."""
    found: list[dict[str, Any]] = []
    with serving("--auth", "keys", "--host", "0.0.0.0", cwd=folder) as (server, url):
        for key, document in questions:
            answer = httpx.post(
                f"{url}/graphql",
                json={"query": document},
                headers={"X-API-Key": key},
                trust_env=False,
                timeout=30,
            )
            found.append(answer.json()["data"])
        assert server.stop() == 0
    return found


def test_roles_that_are_none(tmp_path: Path) -> None:
    made = opsin("keys", "create", "robot", "--json", cwd=tmp_path).json()
    for wrong in (
        ("create", "x", "--role", "owner"),
        ("create", "x", "--expires", "soon"),
        ("create", "x", "--expires", "2020-01-01"),
        ("create", "x", "--dataset", "nowhere"),
        ("role", made["prefix"], "owner"),
        ("role", made["prefix"], "viewer", "--dataset", "nowhere"),
        ("role", "0123456789ab", "viewer"),
    ):
        refused = opsin("keys", *wrong, cwd=tmp_path)
        assert refused.code == ExitCode.USAGE, wrong
    listed = opsin("keys", "list", "--json", cwd=tmp_path).json()["keys"]
    assert [(one["name"], one["role"]) for one in listed] == [("robot", "admin")]
