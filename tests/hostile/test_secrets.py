"""A session of everything with secrets that can be recognised: none is in what is kept or shown.

The log is at its finest level; the same session leaves a mark there, so that it is looked at.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from opsin.assembly import Parts, assemble
from opsin.settings import Settings, environment_with
from opsin.storage.tables import metadata
from tests.compat.vista.pipelines import documented, timestamped
from tests.graphql import asking
from tests.hostile.fort import Fort, fort

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

CANARIES = {
    "secret_key": "canary-of-the-secret-key-long-enough",
    "vista_hmac_secret": "canary-of-the-hmac-secret-long-enough",
    "vista_previous_hmac_secret": "canary-of-the-earlier-hmac-secret",
    "vista_proxy_shared_secret": "canary-of-the-proxys-secret",
    "pekat_api_key": "canary-of-pekats-key",
    "pekat_stop_key": "canary-of-the-stop-key",
    "hub_token": "canary-of-the-hubs-token",
}
"""Settings that are secrets, and what they are here."""

PASSWORD, WRONG = "canary-of-a-password", "canary-of-a-wrong-password"
SENT = (
    *("canary-in-a-query", "canary-of-no-key", "canary-in-a-url", "canary-in-a-body"),
    *("canary-in-a-cookie", "canary-of-a-webhooks-path"),
)
"""What callers send in places where secrets are sent."""
EMAIL, MARK = "somebody@example.org", "mark-of-this-session"


@dataclass(slots=True)
class Session:
    """What was told to the client once, and must be told to nobody else; and all the answers."""

    server: Fort
    told: set[str] = field(default_factory=set)
    answers: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = await self.server.client.request(method, path, **request)
        self.answers.append(f"{answer.headers} {answer.text}")
        return answer

    async def graphql(self, query: str, key: str | None = None, **variables: Any) -> dict[str, Any]:
        headers = {"x-api-key": key} if key else {}
        request = {"json": {"query": query, "variables": variables}, "headers": headers}
        body: dict[str, Any] = (await self.ask("POST", "/graphql", **request)).json()
        return body

    async def given(self, method: str, path: str, *names: str, **request: Any) -> dict[str, Any]:
        """A request whose answer may tell secrets, by these names, this once."""
        answer = await self.server.client.request(method, path, **request)
        assert answer.is_success, answer.text
        body: dict[str, Any] = answer.json()
        found = _named(body, frozenset(names))
        assert found, body
        self.told.update(found)
        return body


def _named(value: Any, names: frozenset[str]) -> list[str]:
    if isinstance(value, list):
        return [one for inner in value for one in _named(inner, names)]
    if not isinstance(value, dict):
        return []
    here = [one for name, one in value.items() if name in names and isinstance(one, str)]
    return here + [one for inner in value.values() for one in _named(inner, names)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    folder = tmp_path_factory.mktemp("secrets")

    async def prepare(parts: Parts) -> None:
        await parts.use_cases.accounts.create(EMAIL, company="ours", password=PASSWORD)

    settings = {"log_level": "debug", "webhook_allow": "127.0.0.1:9", **CANARIES}
    async with fort(folder, prepare, **settings) as server:
        made = Session(server, {server.key})
        await everything(made)
        yield made


async def everything(session: Session) -> None:
    await signing_in(session)
    await keys_and_webhooks(session)
    await old_apis(session)
    await mistakes(session)
    await sockets(session)


async def signing_in(session: Session) -> None:
    login = (
        'mutation($p: String!) { login(email: "%s", password: $p) { accessToken refreshToken } }'
    )
    for password in (WRONG, PASSWORD):
        answer = await session.server.client.post(
            "/graphql",
            headers={"x-api-key": ""},
            json={"query": login % EMAIL, "variables": {"p": password}},
        )
        session.told.update(_named(answer.json(), frozenset({"accessToken", "refreshToken"})))
        haut = {"username": EMAIL, "password": password}
        answer = await session.server.client.post("/api/v1/login/", json=haut)
        session.told.update(_named(answer.json(), frozenset({"access_token", "refresh_token"})))
    tokens = [one for one in session.told if one != session.server.key]
    assert len(tokens) == 4
    for token in tokens:
        bearer = {"Authorization": f"Bearer {token}", "x-api-key": ""}
        await session.ask("GET", "/api/v1/auth/profile/", headers=bearer)
        await session.ask("GET", f"/api/v1/auth/profile/?token={token}", headers={"x-api-key": ""})
        await session.ask("POST", "/api/v1/auth/refresh/", json={"refresh_token": token + "x"})
    access = next(one for one in tokens if not one.startswith("opsin-refresh"))
    bearer = {"Authorization": f"Bearer {access}"}
    private = {"name": "a script"}
    await session.given(
        "POST", "/api/v1/auth/private_tokens/", "data", "token", json=private, headers=bearer
    )
    await session.ask("GET", "/api/v1/auth/private_tokens/", headers=bearer)


async def keys_and_webhooks(session: Session) -> None:
    create = f'mutation {{ createApiKey(name: "{MARK}") {{ key apiKey {{ id name }} }} }}'
    await session.given("POST", "/graphql", "key", json={"query": create})
    await session.graphql("{ viewer { name apiKeys { id name prefix } } }")
    hook = """mutation { createWebhook(input: {url: "http://127.0.0.1:9/canary-of-a-webhooks-path",
      events: [IMAGE_CREATED]}) { secret webhook { id } } }"""
    made = await session.given("POST", "/graphql", "secret", json={"query": hook})
    identity = made["data"]["createWebhook"]["webhook"]["id"]
    await session.graphql(f'mutation {{ testWebhook(id: "{identity}") {{ delivered error }} }}')
    rotate = f'mutation {{ rotateWebhookSecret(id: "{identity}") {{ secret }} }}'
    await session.given("POST", "/graphql", "secret", json={"query": rotate})
    await session.graphql("{ webhooks { nodes { id description events } } }")
    await session.graphql(f'mutation {{ deleteWebhook(id: "{identity}") {{ deletedId }} }}')
    dataset = await session.graphql(asking.CREATE_DATASET, name=MARK)
    identity = dataset["data"]["createDataset"]["id"]
    url = {"datasetId": identity, "url": "http://127.0.0.1:9/a.png?signature=canary-in-a-url"}
    await session.graphql(asking.IMPORT_IMAGE, input=url)
    await session.graphql("{ images { nodes { url thumbnailUrl } } auditLog { nodes { id } } }")


async def old_apis(session: Session) -> None:
    secret = CANARIES["vista_hmac_secret"]
    body = {"name": "p", "meta_group_id": "ours"}
    proxy = {"X-User-Email": EMAIL, "x-api-key": ""}
    for shown in (CANARIES["vista_proxy_shared_secret"], "canary-of-no-key"):
        headers = proxy | {"X-Proxy-Secret": shown}
        await session.ask("POST", "/api/projects", json=body, headers=headers)
        await session.ask("GET", "/api/users/me", headers=headers)
    content = json.dumps({"status": "completed"}).encode()
    for signed in (timestamped(content, secret=secret), documented({"status": "completed"})):
        path = f"/api/analyses/{asking.NO_SUCH_ID}/finalize"
        headers = {"content-type": "application/json"} | signed
        await session.ask("POST", path, content=content, headers=headers)
    for key in (CANARIES["pekat_api_key"], "canary-of-no-key"):
        await session.ask("POST", f"/analyze_image?api_key={key}", content=b"no picture")
        await session.ask("GET", f"/last_image?api_key={key}")
    await session.ask("GET", "/stop?key=canary-of-no-key")
    task = {"operation_id": "a", "type": "perceptual_hash"}
    url = "http://127.0.0.1:9/a.png?token=canary-in-a-url"
    await session.ask("POST", "/analyze_image/", json={"image_url": url, "tasks": [task]})


async def mistakes(session: Session) -> None:
    """What is refused, in all the places where a secret may stand."""
    paths = ("/nothing", "/graphql", "/api/nothing", "/v1/export", "/images/x.jpg", "/metrics")
    for path in paths:
        query = f"{path}?token=canary-in-a-query&signature=canary-in-a-query&mark={MARK}"
        await session.ask("GET", query, headers={"x-api-key": "canary-of-no-key"})
        basic = base64.b64encode(b"user:canary-of-no-key").decode()
        for shown in ("Bearer canary-of-no-key", f"Basic {basic}"):
            headers = {"Authorization": shown, "Cookie": "authorization=canary-in-a-cookie"}
            await session.ask("GET", path, headers=headers)
    broken = b'{"password": "canary-in-a-body", "query": "{ nothing'
    headers = {"content-type": "application/json"}
    for path in ("/graphql", "/api/v1/login/", "/api/projects", "/analyze_image/"):
        await session.ask("POST", path, content=broken, headers=headers)
    await session.ask("GET", f"/uploads/{asking.NO_SUCH_ID}?signature=canary-in-a-query")
    await session.ask("PUT", f"/uploads/{asking.NO_SUCH_ID}?signature=canary-in-a-query")


async def sockets(session: Session) -> None:
    url = f"ws://127.0.0.1:{session.server.port}"
    for key in (session.server.key, "canary-of-no-key"):
        with suppress(WebSocketException, TimeoutError):
            async with (
                asyncio.timeout(60),
                connect(
                    f"{url}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
                ) as one,
            ):
                payload = {"authorization": f"Bearer {key}"}
                await one.send(json.dumps({"type": "connection_init", "payload": payload}))
                session.answers.append(str(await one.recv()))
        with suppress(WebSocketException, TimeoutError):
            async with asyncio.timeout(60), connect(f"{url}/notifications/?token={key}"):
                pass


def secrets_of(session: Session) -> set[str]:
    found = {*CANARIES.values(), PASSWORD, WRONG, *SENT, *session.told}
    # Of a token the part behind its prefix is the secret one.
    return found | {one.split("_", 2)[2] for one in session.told if one.count("_") >= 2}


def seen(text: str, secrets: set[str]) -> list[str]:
    return sorted(one for one in secrets if one in text)


async def test_no_log_line_has_a_secret(session: Session) -> None:
    text = session.server.logged()
    assert len(text) > 2_000, text
    assert seen(text, secrets_of(session)) == []


async def test_no_answer_tells_a_secret_again(session: Session) -> None:
    """But what a caller has just sent, where the mistake in it is shown."""
    own = set(SENT) | {WRONG}
    assert len(session.answers) > 50
    for answer in session.answers:
        assert seen(answer, secrets_of(session) - own) == [], answer[:2000]


async def test_no_figure_has_a_secret(session: Session) -> None:
    for path in ("/metrics", "/health", "/ready", "/openapi.json"):
        answer = await session.server.client.get(path)
        assert answer.status_code in (200, 503) and answer.text
        assert seen(answer.text, secrets_of(session)) == []


async def test_no_row_has_a_secret(session: Session) -> None:
    """What is stored lets nobody in; a webhook's URL is what it is for."""
    data = session.server.output.parent / "data"
    rows = []
    async with (
        assemble(Settings(data_dir=data, auth="keys")).running() as parts,
        parts.use_cases.database.read() as connection,
    ):
        for table in metadata.sorted_tables:
            rows += [str(row) for row in await connection.execute(select(table))]
    text = "\n".join(rows)
    assert MARK in text and EMAIL in text
    assert seen(text, secrets_of(session) - {"canary-of-a-webhooks-path"}) == []


@pytest.mark.parametrize("command", [["doctor", "--json"], ["doctor"], ["plugins"], ["audit"]])
async def test_no_command_prints_a_secret(session: Session, command: list[str]) -> None:
    folder: Path = session.server.output.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opsin", *command),
        env=environment_with(data_dir=str(folder / "data"), auth="keys", **CANARIES),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    text = output.decode()
    assert text and "No such command" not in text
    assert seen(text, secrets_of(session)) == []


async def test_a_setting_that_is_a_secret_is_not_shown_by_its_settings() -> None:
    settings = Settings(**CANARIES)  # type: ignore[arg-type]  # all of these are texts
    assert seen(repr(settings) + str(settings), set(CANARIES.values())) == []
