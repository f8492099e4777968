"""Signing in and staying so: login, refresh, profile, private tokens, linked companies."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from opsin.settings import Settings
from tests.compat.haut.world import (
    ABSENT,
    API,
    PASSWORD,
    Haut,
    fault,
    haut_server,
    haut_settings,
    signed_in,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN = {
    *("id", "email", "username", "company_id", "access_token", "token_access", "refresh_token"),
    *("is_verified", "profile", "expires_in"),
}
PROFILE = {
    *("metadata", "full_name", "kyc_enabled", "terms_payment_accepted_at"),
    *("terms_and_policy_accepted_at", "feature_flags"),
}
TOKENS = f"{API}/auth/private_tokens/"


@pytest.mark.parametrize("path", ["login/", "login", "auth/login/", "auth/login"])
async def test_login(any_haut: Haut, path: str) -> None:
    credentials = {"username": "ours@example.com", "password": PASSWORD}
    answer = await any_haut.client.post(f"{API}/{path}", json=credentials)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == LOGIN and set(body["profile"]) == PROFILE
    assert body["access_token"] == body["token_access"] != body["refresh_token"]
    assert isinstance(body["id"], int) and body["id"] == any_haut.ours.number
    assert body["company_id"] == any_haut.ours.company_id
    assert body["email"] == body["username"] == "ours@example.com"
    assert 3500 < body["expires_in"] <= 3600 and body["profile"]["full_name"] == "Some Body of ours"


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "username", "required"),
        ({"username": "a@example.com"}, "password", "required"),
        ({"username": "a@example.com", "password": ""}, "password", "blank"),
        ({"username": None, "password": "x"}, "username", "null"),
        ({"username": ["a"], "password": "x"}, "username", "invalid"),
        ({"username": "ours@example.com\x00", "password": PASSWORD}, "username", "invalid"),
        ({"username": "ours@example.com", "password": "\x00"}, "password", "invalid"),
    ],
)
async def test_a_login_that_is_none(haut: Haut, body: object, attr: str, code: str) -> None:
    answer = await haut.client.post(f"{API}/login/", json=body)
    assert answer.status_code == 400
    first = answer.json()["errors"][0]
    assert (first["attr"], first["code"]) == (attr, code)


@pytest.mark.parametrize(
    "credentials",
    [
        {"username": "ours@example.com", "password": "wrong"},
        {"username": "ours@example.com", "password": f" {PASSWORD} "},
        {"username": "nobody@example.com", "password": PASSWORD},
        {"username": "no address", "password": PASSWORD},
    ],
)
async def test_wrong_credentials(haut: Haut, credentials: dict[str, str]) -> None:
    answer = await haut.client.post(f"{API}/login/", json=credentials)
    assert fault(answer, 401)["code"] == "authentication_failed"


async def test_a_switched_off_account(any_haut: Haut) -> None:
    person = await any_haut.person("off@example.com", "ours")
    accounts = any_haut.parts.use_cases.accounts
    account = await accounts.find_email("off@example.com")
    assert account is not None
    await accounts.set_active(account.id, False)
    answer = await person.ask("GET", f"{API}/auth/profile/")
    assert fault(answer, 401)["code"] == "authentication_failed"
    again = {"username": person.email, "password": PASSWORD}
    answer = await any_haut.client.post(f"{API}/login/", json=again)
    assert fault(answer, 401)["code"] == "authentication_failed"


@pytest.mark.parametrize("path", ["auth/refresh/", "auth/refresh", "refresh/", "refresh"])
async def test_refresh(any_haut: Haut, path: str) -> None:
    person = await signed_in(any_haut.client, "ours@example.com")
    body = {"refresh_token": person.refresh_token}
    answer = await any_haut.client.post(f"{API}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    new = answer.json()
    assert set(new) == {"access_token", "token_access", "refresh_token", "expires_in"}
    assert new["access_token"] == new["token_access"] != person.token
    assert 3500 < new["expires_in"] <= 3600
    for token in (new["access_token"], person.token):  # the old one lives out its hour
        headers = {"Authorization": f"Bearer {token}"}
        answer = await any_haut.client.get(f"{API}/auth/profile/", headers=headers)
        assert answer.status_code == 200
    # It works once.
    answer = await any_haut.client.post(f"{API}/{path}", json=body)
    assert fault(answer, 401)["code"] == "authentication_failed"


async def test_a_refresh_that_is_none(haut: Haut) -> None:
    path = f"{API}/auth/refresh/"
    assert fault(await haut.client.post(path), 400)["attr"] == "refresh_token"
    answer = await haut.client.post(path, json={"refresh_token": haut.ours.token})
    assert fault(answer, 401)["code"] == "authentication_failed"


async def test_profile(any_haut: Haut) -> None:
    ours = any_haut.ours
    body = await ours.get(f"{API}/auth/profile/")
    assert body["user"]["id"] == ours.number and body["user"]["email"] == ours.email
    assert body["company"] == {"id": ours.company_id, "name": "ours"}
    assert body["company_id"] == ours.company_id
    assert body["companies"] == [{"id": ours.company_id, "name": "ours"}]
    assert set(body["profile"]) == PROFILE


async def test_a_key_of_a_company_is_nobodys(any_haut: Haut) -> None:
    access = any_haut.parts.use_cases.access
    found = await access.find_company("ours")
    assert found is not None
    principal = await access.authenticate(any_haut.ours.token)
    _, key = await any_haut.parts.use_cases.api_keys.create(
        type(principal)(company_id=found.id, name="an integration"), "a key"
    )
    headers = {"Authorization": f"Bearer {key}"}
    body = (await any_haut.client.get(f"{API}/auth/profile/", headers=headers)).json()
    assert body["user"] is None and body["company"]["name"] == "ours"
    made = await any_haut.client.post(
        f"{any_haut.ours.company}/datasets/", json={"name": "by key"}, headers=headers
    )
    assert made.status_code == 201
    answer = await any_haut.client.post(TOKENS, json={"name": "x"}, headers=headers)
    assert fault(answer, 403)["code"] == "permission_denied"


def iso(time: datetime) -> str:
    return time.isoformat()


async def test_private_tokens(any_haut: Haut) -> None:
    person = await any_haut.person("tokens@example.com", "ours")
    until = datetime.now(UTC) + timedelta(days=30)
    made = []
    for name, time in (
        ("one", iso(until).replace("+00:00", "Z")),
        ("two", iso(until.replace(tzinfo=None))),  # naive is UTC
        ("three", None),
    ):
        body = await person.made(TOKENS, {"name": name, "expiration_time": time})
        assert set(body) == {"id", "name", "expiration_time", "data"}
        assert isinstance(body["id"], int) and body["name"] == name
        made.append(body)
    assert made[0]["expiration_time"] == made[1]["expiration_time"]
    assert made[0]["expiration_time"].endswith("Z") and made[2]["expiration_time"] is None

    listed = await person.get(TOKENS)
    assert listed["count"] == 3 and listed["next"] is listed["previous"] is None
    shown = [{key: one[key] for key in ("id", "name", "expiration_time")} for one in made]
    assert listed["results"] == shown, "and never the token itself"
    assert [t["name"] for t in (await person.get(TOKENS, q="T"))["results"]] == ["two", "three"]
    turned = await person.get(TOKENS, ordering="-id", page_size=2)
    assert [token["name"] for token in turned["results"]] == ["three", "two"]
    for ordering, names in (
        ("name", ["one", "three", "two"]),
        ("-name", ["two", "three", "one"]),
        # One that never ends is the last to end; of those that end together, the older is first.
        ("expiration_time", ["one", "two", "three"]),
        ("-expiration_time", ["three", "two", "one"]),
        # As in other lists, what is no field says nothing.
        ("-nothing", ["one", "two", "three"]),
    ):
        turned = await person.get(TOKENS, ordering=ordering)
        assert [token["name"] for token in turned["results"]] == names, ordering

    headers = {"Authorization": f"Bearer {made[0]['data']}"}
    assert (await any_haut.client.get(f"{person.company}/", headers=headers)).status_code == 200
    # Nobody else sees or ends it.
    answer = await any_haut.ours.ask("DELETE", f"{TOKENS}{made[0]['id']}/")
    assert fault(answer, 404)["code"] == "not_found"
    answer = await person.ask("DELETE", f"{TOKENS}{made[0]['id']}/")
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await any_haut.client.get(f"{person.company}/", headers=headers)
    assert fault(answer, 401)["code"] == "authentication_failed"
    answer = await person.ask("DELETE", f"{TOKENS}{made[0]['id']}/")
    assert fault(answer, 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "blank"),
        ({"name": "   "}, "name", "blank"),
        ({"name": "x" * 256}, "name", "max_length"),
        ({"name": "a\x00b"}, "name", "invalid"),
        ({"name": "x", "expiration_time": "2001-01-01T00:00:00Z"}, "expiration_time", "invalid"),
        ({"name": "x", "expiration_time": "tomorrow"}, "expiration_time", "invalid"),
        ({"name": "x", "expiration_time": 17}, "expiration_time", "invalid"),
    ],
)
async def test_a_private_token_that_is_none(
    haut: Haut, body: dict[str, object], attr: str, code: str
) -> None:
    error = fault(await haut.ours.ask("POST", TOKENS, json=body), 400)
    assert (error["attr"], error["code"]) == (attr, code)


@pytest.mark.parametrize(
    "number", ["x", "0", "-1", "1.0", "999999", "99999999999999999999", ABSENT]
)
async def test_a_token_that_is_not_there(haut: Haut, number: str) -> None:
    assert fault(await haut.ours.ask("DELETE", f"{TOKENS}{number}/"), 404)["code"] == "not_found"


async def test_an_expired_private_token(any_haut: Haut) -> None:
    person = await any_haut.person("late@example.com", "ours")
    until = datetime.now(UTC) + timedelta(seconds=5)
    made = await person.made(TOKENS, {"name": "short", "expiration_time": iso(until)})
    headers = {"Authorization": f"Bearer {made['data']}"}

    async def asked() -> httpx.Response:
        return await any_haut.client.get(f"{API}/auth/profile/", headers=headers)

    assert (await asked()).status_code in (200, 401), "it is known, and its end is"
    await asyncio.sleep((until - datetime.now(UTC)).total_seconds() + 0.1)
    answer = await asked()
    assert fault(answer, 401)["code"] == "authentication_failed"


async def test_linked_companies(any_haut: Haut) -> None:
    """What an account reaches by a link, its sessions and private tokens reach, too."""
    person = await any_haut.person("linking@example.com", "head office")
    branch = await any_haut.person("branch@example.com", "branch")
    token = (await person.made(TOKENS, {"name": "x"}))["data"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = await any_haut.client.get(f"{branch.company}/datasets/", headers=headers)
    assert fault(answer, 403)["code"] == "permission_denied"
    await any_haut.parts.use_cases.companies.link("head office", "branch")
    dataset = await branch.dataset()
    # It was done by another process: this one hears of it in a second.
    async with asyncio.timeout(30):
        while True:
            if (await person.ask("GET", f"{branch.company}/")).status_code != 403:
                break
            await asyncio.sleep(0.05)
    for person_headers in (headers, {"Authorization": f"Bearer {person.token}"}):
        answer = await any_haut.client.get(f"{dataset}/", headers=person_headers)
        assert answer.status_code == 200, answer.text
    companies = await person.get(f"{API}/companies/")
    assert companies == [
        {"id": branch.company_id, "name": "branch"},
        {"id": person.company_id, "name": "head office"},
    ]
    assert await person.get(f"{branch.company}/") == companies[0]
    # A link leads one way.
    answer = await branch.ask("GET", f"{person.company}/")
    assert fault(answer, 403)["code"] == "permission_denied"
    # What is made there is the other company's.
    subject = await person.subject(dataset)
    made = await branch.get(f"{subject}/")
    assert made["company"] == {"id": branch.company_id, "name": "branch"}
    assert made["author_id"] == person.number


async def test_too_many_logins(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = haut_settings(
        module_settings, data_dir=tmp_path_factory.mktemp("throttled"), login_attempts=3
    )
    async with haut_server(settings) as haut:
        wrong = {"username": "ours@example.com", "password": "wrong"}
        statuses = [(await haut.client.post(f"{API}/login/", json=wrong)).status_code for _ in "ab"]
        assert statuses == [401, 401], "the first of three was the fixture's own"
        for password in ("wrong", PASSWORD):
            answer = await haut.client.post(f"{API}/login/", json=wrong | {"password": password})
            assert fault(answer, 429)["code"] == "throttled"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        # Nobody else is kept out, and whoever is in stays in.
        await signed_in(haut.client, "theirs@example.com")
        await haut.ours.get(f"{API}/auth/profile/")
