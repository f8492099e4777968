"""Signing in and out: what needs no key, what a session may do, and for which companies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.graphql.conftest import KeyServer, key_server
from tests.graphql.sockets import open_socket, started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
LOGIN = """mutation($email: String!, $password: String!) {
  login(email: $email, password: $password) { accessToken refreshToken expiresAt
    account { id number email fullName } } }"""
REFRESH = """mutation($token: String!) { refreshSession(refreshToken: $token) {
  accessToken refreshToken account { email } } }"""
VIEWER = """{ viewer { name company companyId account { email number }
  companies { id name isCurrent } privateTokens { number name expiresAt } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KeyServer]:
    """A server with an account of the company `ours`, which is linked to `theirs`."""
    folder = tmp_path_factory.mktemp("people")
    settings = module_settings.model_copy(update={"data_dir": folder, "login_attempts": 1000})
    async with key_server(settings) as keys:
        use_cases = keys.parts.use_cases
        await use_cases.accounts.create(
            EMAIL, company="ours", password=PASSWORD, full_name="Ada L."
        )
        await use_cases.companies.link("ours", "theirs")
        yield keys


async def ask(
    keys: KeyServer, query: str, token: str | None = None, company: str | None = None, **given: Any
) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= {"x-company-id": company} if company else {}
    return await keys.live.client.post(
        "/graphql", json={"query": query, "variables": given}, headers=headers
    )


async def signed_in(keys: KeyServer) -> dict[str, Any]:
    answer = await ask(keys, LOGIN, email=EMAIL, password=PASSWORD)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["data"]["login"]
    return found


async def test_a_session_begins_is_renewed_and_ends(people: KeyServer) -> None:
    session = await signed_in(people)
    assert session["account"]["email"] == EMAIL and session["account"]["fullName"] == "Ada L."
    assert datetime.fromisoformat(session["expiresAt"]) > datetime.now(UTC)
    viewer = (await ask(people, VIEWER, session["accessToken"])).json()["data"]["viewer"]
    assert (viewer["name"], viewer["company"]) == (EMAIL, "ours")
    assert viewer["account"] == {"email": EMAIL, "number": session["account"]["number"]}
    token = session["refreshToken"]
    renewed = await _refreshed(people, token)
    assert renewed["accessToken"] != session["accessToken"]
    answer = await people.live.client.post(
        "/graphql", json={"query": REFRESH, "variables": {"token": token}}
    )
    assert codes(answer.json()) == ["UNAUTHENTICATED"]  # it works once
    out = await ask(people, "mutation { logout { email } }", renewed["accessToken"])
    assert out.json() == {"data": {"logout": {"email": EMAIL}}}
    assert (await ask(people, VIEWER, renewed["accessToken"])).status_code == 401


async def _refreshed(keys: KeyServer, token: str) -> dict[str, Any]:
    answer = await keys.live.client.post(
        "/graphql", json={"query": REFRESH, "variables": {"token": token}}
    )
    found: dict[str, Any] = answer.json()["data"]["refreshSession"]
    return found


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong"), ("nobody@example.com", PASSWORD), ("x", "")]
)
async def test_wrong_words_are_refused_alike(people: KeyServer, email: str, password: str) -> None:
    answer = await ask(people, LOGIN, email=email, password=password)
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["message"] == "This e-mail address and password do not fit together"


@pytest.mark.parametrize(
    "query",
    [
        VIEWER,
        "{ __schema { queryType { name } } }",
        "{ login: viewer { name } }",
        'mutation { login(email: "a", password: "b") { accessToken } createApiKey(name: "x") {'
        " key } }",
        'mutation { ... { login(email: "a", password: "b") { accessToken } } }',
        'mutation { login: createApiKey(name: "x") { key } }',
        'mutation A { login(email: "a", password: "b") { accessToken } } query B { viewer { name'
        " } }",
        "subscription { analysisEvents { cursor } } # login",
        "mutation { login(",
        "login",
    ],
)
async def test_nothing_else_needs_no_key(people: KeyServer, query: str) -> None:
    for headers in ({}, {"accept": "text/event-stream"}):
        answer = await people.live.client.post(
            "/graphql", json={"query": query, "operationName": None}, headers=headers
        )
        assert answer.status_code == 401
        assert codes(answer.json()) == ["UNAUTHENTICATED"]
        assert answer.headers["www-authenticate"] == "Bearer"
    named = {"query": query, "operationName": "B"}
    assert (await people.live.client.post("/graphql", json=named)).status_code == 401


async def test_signing_in_is_a_small_post_of_json(people: KeyServer) -> None:
    given = {"email": EMAIL, "password": PASSWORD}
    body = {"query": LOGIN, "variables": given}
    padded = body | {"extensions": {"x": "x" * 70_000}}
    assert (await people.live.client.post("/graphql", json=padded)).status_code == 401
    assert (await people.live.client.get("/graphql", params={"query": LOGIN})).status_code == 401
    streamed = await people.live.client.post(
        "/graphql", json=body, headers={"accept": "text/event-stream"}
    )
    assert streamed.status_code == 401
    form = {"operations": '{"query": "mutation { login }"}', "map": "{}"}
    sent = await people.live.client.post("/graphql", data=form, files={"0": ("a", b"x")})
    assert sent.status_code == 401


async def test_attempts_are_counted(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changes = {"data_dir": tmp_path_factory.mktemp("throttled"), "login_attempts": 2}
    async with key_server(module_settings.model_copy(update=changes)) as keys:
        found = [await ask(keys, LOGIN, email=EMAIL, password="x") for _ in range(3)]
    told = [answer.json()["errors"][0]["extensions"] for answer in found]
    assert [one["code"] for one in told] == ["UNAUTHENTICATED", "UNAUTHENTICATED", "THROTTLED"]
    assert 0 < told[2]["retryAfter"] <= 60


async def test_a_session_acts_for_every_company_it_reaches(people: KeyServer) -> None:
    token = (await signed_in(people))["accessToken"]
    viewer = (await ask(people, VIEWER, token)).json()["data"]["viewer"]
    ids = {one["name"]: one["id"] for one in viewer["companies"]}
    assert set(ids) == {"ours", "theirs"} and viewer["companyId"] == ids["ours"]
    assert [one["name"] for one in viewer["companies"] if one["isCurrent"]] == ["ours"]
    make = 'mutation { createDataset(input: {name: "among theirs"}) { id } }'
    made = (await ask(people, make, token, ids["theirs"])).json()["data"]["createDataset"]["id"]
    query = "query($id: ID!) { dataset(id: $id) { name } viewer { company } }"
    there = (await ask(people, query, token, ids["theirs"], id=made)).json()["data"]
    assert there == {"dataset": {"name": "among theirs"}, "viewer": {"company": "theirs"}}
    here = (await ask(people, query, token, id=made)).json()["data"]
    assert here == {"dataset": None, "viewer": {"company": "ours"}}
    for company in (asking.NO_SUCH_ID, "x"):
        refused = await ask(people, VIEWER, token, company)
        assert (refused.status_code, codes(refused.json())) == (403, ["FORBIDDEN"])
    # A company's key is good for that company, and for no other.
    assert (await ask(people, VIEWER, people.ours, ids["ours"])).status_code == 200
    assert (await ask(people, VIEWER, people.ours, ids["theirs"])).status_code == 403


async def test_a_socket_acts_for_the_company_it_names(people: KeyServer) -> None:
    token = (await signed_in(people))["accessToken"]
    viewer = (await ask(people, VIEWER, token)).json()["data"]["viewer"]
    ids = {one["name"]: one["id"] for one in viewer["companies"]}
    payload = {"Authorization": f"Bearer {token}", "X-Company-Id": ids["theirs"]}
    async with started_socket(people.live, payload) as socket:
        await socket.subscribe("1", "{ viewer { company } }")
        assert (await socket.next())["data"] == {"viewer": {"company": "theirs"}}
    async with open_socket(people.live) as socket:
        await socket.send(
            {"type": "connection_init", "payload": payload | {"X-Company-Id": asking.NO_SUCH_ID}}
        )
        assert await socket.closed() == 4403


async def test_private_tokens_are_made_listed_and_ended(people: KeyServer) -> None:
    token = (await signed_in(people))["accessToken"]
    create = """mutation($name: String!, $at: DateTime) {
      createPrivateToken(name: $name, expiresAt: $at) {
        token privateToken { number name expiresAt } } }"""
    ends = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="microseconds")
    made = (await ask(people, create, token, name="a script", at=ends)).json()["data"]
    private, told = made["createPrivateToken"]["token"], made["createPrivateToken"]["privateToken"]
    assert told["expiresAt"] == ends
    viewer = (await ask(people, VIEWER, private)).json()["data"]["viewer"]
    assert viewer["privateTokens"] == [told]
    over = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert codes((await ask(people, create, token, name="late", at=over)).json()) == [
        "INVALID_INPUT"
    ]
    delete = "mutation($n: Int!) { deletePrivateToken(number: $n) { deletedNumber } }"
    ended = await ask(people, delete, token, n=told["number"])
    assert ended.json()["data"]["deletePrivateToken"] == {"deletedNumber": told["number"]}
    assert (await ask(people, VIEWER, private)).status_code == 401
    assert codes((await ask(people, delete, token, n=told["number"])).json()) == ["NOT_FOUND"]


async def test_a_key_is_no_account(people: KeyServer) -> None:
    viewer = (await ask(people, VIEWER, people.ours)).json()["data"]["viewer"]
    assert viewer["account"] is None and viewer["privateTokens"] == []
    assert [one["name"] for one in viewer["companies"]] == ["ours"]
