"""The audit in GraphQL: pages and filters, for administrators only."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from opsin.core.access import Principal
from opsin.core.roles import Role
from opsin.settings import Settings
from tests.graphql.asking import codes
from tests.graphql.conftest import KeyServer, key_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = """query($first: Int! = 50, $after: String, $filter: AuditFilterInput) {
  auditLog(first: $first, after: $after, filter: $filter) { totalCount
    nodes { id action actorKind actorId keyId actorName subjectKind subjectId datasetId details
      requestId createdAt } pageInfo { hasNextPage endCursor } } }"""
CREATE = "mutation($name: String!) { createDataset(input: {name: $name}) { id } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(any_module_settings: Settings) -> AsyncIterator[KeyServer]:
    async with key_server(any_module_settings) as made:
        yield made


async def ask(server: KeyServer, key: str, document: str, **variables: Any) -> dict[str, Any]:
    """The whole answer."""
    body = {"query": document, "variables": variables}
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "asked-by-a-test"}
    answer = await server.live.client.post("/graphql", json=body, headers=headers)
    found: dict[str, Any] = answer.json()
    return found


async def page(server: KeyServer, key: str, **variables: Any) -> dict[str, Any]:
    answer = await ask(server, key, PAGE, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["auditLog"]
    return found


async def scoped_key(server: KeyServer, role: Role, *dataset_ids: str) -> str:
    """A key of our company, in single datasets if some are named."""
    access = server.parts.use_cases.access
    owner = Principal((await access.ensure_company("ours")).id, "the operator")
    _, text = await server.parts.use_cases.api_keys.create(
        owner, "scoped", role=role, dataset_ids=dataset_ids
    )
    return text


async def test_what_a_key_does_is_told(server: KeyServer) -> None:
    made = await ask(server, server.ours, CREATE, name="whales")
    dataset = made["data"]["createDataset"]["id"]
    found = await page(server, server.ours, filter={"subject": dataset})
    (entry,) = found["nodes"]
    principal = await server.parts.use_cases.access.authenticate(server.ours)
    assert entry.pop("id") and entry.pop("createdAt")
    assert entry == {
        "action": "dataset.create",
        "actorKind": "key",
        "actorId": principal.key_id,
        "keyId": principal.key_id,
        "actorName": "a key of ours",
        "subjectKind": "dataset",
        "subjectId": dataset,
        "datasetId": dataset,
        "details": {"name": "whales"},
        "requestId": "asked-by-a-test",
    }
    assert (found["totalCount"], found["pageInfo"]["hasNextPage"]) == (1, False)
    assert (await page(server, server.theirs, filter={"subject": dataset}))["nodes"] == []


async def test_which_of_somebodys_keys_it_was(server: KeyServer) -> None:
    use_cases = server.parts.use_cases
    account = await use_cases.accounts.create(
        "ada@example.org", company="ours", password="correct horse"
    )
    session = (await use_cases.sessions.login(account.email, "correct horse")).access_token
    ada = await use_cases.access.authenticate(session)
    made = [await use_cases.api_keys.create(ada, name) for name in ("laptop", "robot")]
    for text in (*(text for _, text in made), session):
        answer = await ask(server, text, CREATE, name="whales")
        assert "errors" not in answer, answer
    for key_id, name, kind in (
        (made[0][0].id, "laptop", "account"),
        (made[1][0].id, "robot", "account"),
        (ada.key_id, account.email, "session"),
    ):
        found = await page(server, server.ours, filter={"key": key_id, "action": "dataset.create"})
        (entry,) = found["nodes"]
        assert (entry["actorId"], entry["keyId"]) == (account.id, key_id)
        assert (entry["actorName"], entry["actorKind"]) == (name, kind)
    assert (await page(server, server.ours, filter={"key": "none"}))["nodes"] == []


async def test_pages_newest_first(server: KeyServer) -> None:
    for number in range(3):
        await ask(server, server.ours, CREATE, name=f"dataset {number}")
    wanted: dict[str, Any] = {"action": ["dataset.create"]}
    names: list[str] = []
    after = None
    while True:
        found = await page(server, server.ours, first=2, after=after, filter=wanted)
        names += [node["details"]["name"] for node in found["nodes"]]
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    assert names[:3] == ["dataset 2", "dataset 1", "dataset 0"]
    assert len(names) == found["totalCount"]


async def test_only_administrators_read_it(server: KeyServer) -> None:
    made = await ask(server, server.ours, CREATE, name="mine")
    mine = made["data"]["createDataset"]["id"]
    for role in (Role.VIEWER, Role.ANNOTATOR, Role.PIPELINE):
        key = await scoped_key(server, role)
        assert codes(await ask(server, key, PAGE)) == ["FORBIDDEN"]
        assert codes(await ask(server, key, PAGE, filter={"dataset": mine})) == ["FORBIDDEN"]
    one = await scoped_key(server, Role.ADMIN, mine)
    assert codes(await ask(server, one, PAGE)) == ["FORBIDDEN"]
    found = await page(server, one, filter={"dataset": mine})
    assert [node["action"] for node in found["nodes"]] == ["dataset.create"]


@pytest.mark.parametrize(
    "wrong", [{"first": -1}, {"first": 100_000}, {"after": "nowhere"}, {"after": "id>nothing"}]
)
async def test_pages_that_are_none(server: KeyServer, wrong: dict[str, Any]) -> None:
    assert codes(await ask(server, server.ours, PAGE, **wrong)) != []
