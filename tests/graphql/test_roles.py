"""Roles in GraphQL: keys for some datasets, giving and taking, what a caller may."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.conftest import LiveServer
from tests.graphql.asking import NO_SUCH_ID, codes, dataset, external, image, set_status
from tests.graphql.conftest import KeyServer, key_server
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERMISSIONS = """query($id: ID!) { viewer { permissions here: permissions(datasetId: $id)
  apiKeys { name } } members { email } datasets { totalCount nodes { id } } }"""
CREATE_KEY = """mutation($name: String!, $role: Role!, $datasets: [ID!], $ends: DateTime) {
  createApiKey(name: $name, role: $role, datasetIds: $datasets, expiresAt: $ends) {
    key apiKey { id name role expiresAt datasetRoles { datasetId role } } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(any_module_settings: Settings) -> AsyncIterator[KeyServer]:
    async with key_server(any_module_settings) as one:
        yield one


def of_key(keys: KeyServer, key: str) -> LiveServer:
    """The server as the holder of that key calls it."""
    keys.live.client.headers["x-api-key"] = key
    return keys.live


async def test_everybody_may_end_what_is_their_own(keys: KeyServer) -> None:
    use_cases = keys.parts.use_cases
    account = await use_cases.accounts.create(
        "dan@example.org", company="ours", password="correct horse"
    )
    session = (await use_cases.sessions.login(account.email, "correct horse")).access_token
    live = of_key(keys, session)
    made = [
        (await live.data(CREATE_KEY, name=name, role=role))["createApiKey"]["apiKey"]["id"]
        for name, role in (("one", "ADMIN"), ("other", "VIEWER"))
    ]
    first, _ = await two_datasets(keys)
    narrow, narrow_id = await key_for(keys, "VIEWER", first)
    live = of_key(keys, keys.ours)
    grants = {"input": {"accountId": account.id, "role": None}}
    await live.data("mutation($input: SetRoleInput!) { setRole(input: $input) { role } }", **grants)
    listed = "{ viewer { apiKeys { id } } }"
    end = "mutation($id: ID!) { revokeApiKey(id: $id) { id } }"
    live = of_key(keys, session)
    found = (await live.data(listed))["viewer"]["apiKeys"]
    assert [one["id"] for one in found] == made[::-1]
    assert codes(await live.graphql(end, id=narrow_id)) == ["NOT_FOUND"]
    for key_id in made:
        assert (await live.data(end, id=key_id))["revokeApiKey"]["id"] == key_id
    live = of_key(keys, narrow)
    assert codes(await live.graphql(end, id=made[0])) == ["NOT_FOUND"]
    assert (await live.data(end, id=narrow_id))["revokeApiKey"]["id"] == narrow_id
    assert codes(await live.graphql(listed)) == ["UNAUTHENTICATED"]


async def two_datasets(keys: KeyServer) -> tuple[str, str]:
    live = of_key(keys, keys.ours)
    return await dataset(live, "first"), await dataset(live, "second")


async def key_for(keys: KeyServer, role: str, *datasets: str) -> tuple[str, str]:
    """The text of a new key of ours for these datasets, and its id."""
    live = of_key(keys, keys.ours)
    made = await live.data(CREATE_KEY, name=f"a {role}", role=role, datasets=list(datasets) or None)
    made = made["createApiKey"]
    return made["key"], made["apiKey"]["id"]


async def test_a_key_for_one_dataset(keys: KeyServer) -> None:
    first, second = await two_datasets(keys)
    live = of_key(keys, keys.ours)
    ours, other = await image(live, first), await image(live, second)
    key, key_id = await key_for(keys, "VIEWER", first)
    live = of_key(keys, key)
    seen = await live.data(PERMISSIONS, id=first)
    itself = [{"name": "a VIEWER"}]
    assert seen["viewer"] == {"permissions": [], "here": ["READ"], "apiKeys": itself}
    assert seen["members"] == []
    assert seen["datasets"] == {"totalCount": 1, "nodes": [{"id": first}]}
    assert (await live.data(PERMISSIONS, id=second))["viewer"]["here"] == []
    query = """query($ours: ID!, $other: ID!, $other_set: ID!) {
      a: image(id: $ours) { id } b: image(id: $other) { id } c: node(id: $other) { id }
      d: dataset(id: $other_set) { id } images { totalCount } eventCursor
      viewer { name } }"""  # `viewer` goes through the resolvers, beside what does not
    found = await live.data(query, ours=ours, other=other, other_set=second)
    assert found["a"] == {"id": ours} and found["images"] == {"totalCount": 1}
    assert (found["b"], found["c"], found["d"]) == (None, None, None)
    # What is not seen is not there; what is seen is not to be changed.
    soft_delete = """mutation($id: ID!) {
      softDeleteImage(input: {imageId: $id, reason: "it is out of focus"}) { id } }"""
    assert codes(await live.graphql(soft_delete, id=other)) == ["NOT_FOUND"]
    assert codes(await live.graphql(soft_delete, id=ours)) == ["FORBIDDEN"]
    assert codes(await live.graphql(CREATE_KEY, name="more", role="VIEWER")) == ["FORBIDDEN"]
    made = await of_key(keys, keys.ours).data(
        "{ viewer { apiKeys { id role datasetRoles { datasetId role } } } }"
    )
    mine = next(one for one in made["viewer"]["apiKeys"] if one["id"] == key_id)
    assert mine["role"] is None
    assert mine["datasetRoles"] == [{"datasetId": first, "role": "VIEWER"}]


async def test_each_role_is_told_what_it_may(keys: KeyServer) -> None:
    first, _ = await two_datasets(keys)
    for role, may in (
        ("VIEWER", ["READ"]),
        ("ANNOTATOR", ["READ", "ANNOTATE", "UPLOAD", "ANALYZE"]),
        ("PIPELINE", ["READ", "UPLOAD", "ANALYZE", "REPORT"]),
        ("ADMIN", ["READ", "ANNOTATE", "UPLOAD", "ANALYZE", "REPORT", "ADMIN"]),
    ):
        key, _ = await key_for(keys, role)
        viewer = (await of_key(keys, key).data(PERMISSIONS, id=first))["viewer"]
        assert viewer["permissions"] == viewer["here"] == may


async def test_people_are_given_roles(keys: KeyServer) -> None:
    first, _ = await two_datasets(keys)
    accounts = keys.parts.use_cases.accounts
    account = await accounts.create("grace@example.org", company="ours")
    live = of_key(keys, keys.ours)
    set_role = """mutation($id: ID!, $role: Role) {
      setRole(input: {accountId: $id, role: $role}) { accountId keyId role } }"""
    done = await live.data(set_role, id=account.id, role="VIEWER")
    assert done["setRole"] == {"accountId": account.id, "keyId": None, "role": "VIEWER"}
    grant = """mutation($id: ID!, $set: ID!) { grantDatasetRole(input: {
      accountId: $id, datasetId: $set, role: ANNOTATOR}) { datasetRole { datasetId role } } }"""
    given = {"datasetId": first, "role": "ANNOTATOR"}
    assert (await live.data(grant, id=account.id, set=first))["grantDatasetRole"] == {
        "datasetRole": given
    }
    members = (
        "{ members { email role isActive fullName accountId datasetRoles { datasetId role } } }"
    )
    grace = next(
        one for one in (await live.data(members))["members"] if one["accountId"] == account.id
    )
    assert (grace["role"], grace["datasetRoles"]) == ("VIEWER", [given])
    revoke = """mutation($id: ID!, $set: ID!) { revokeDatasetRole(input: {
      accountId: $id, datasetId: $set}) { datasetId wasGiven } }"""
    for was_given in (True, False):
        ended = (await live.data(revoke, id=account.id, set=first))["revokeDatasetRole"]
        assert ended == {"datasetId": first, "wasGiven": was_given}
    for bad in (NO_SUCH_ID, "x"):
        assert codes(await live.graphql(set_role, id=bad, role=None)) == ["NOT_FOUND"]
    both = 'mutation { setRole(input: {accountId: "x", keyId: "y", role: VIEWER}) { role } }'
    assert codes(await live.graphql(both)) == ["INVALID_INPUT"]
    # Another company's administrator knows nothing of them.
    assert codes(await of_key(keys, keys.theirs).graphql(set_role, id=account.id, role=None)) == [
        "NOT_FOUND"
    ]


FOLLOW = "subscription($after: Cursor) { analysisEvents(after: $after) { analysisId status } }"


async def test_a_subscription_tells_of_what_its_caller_sees_now(keys: KeyServer) -> None:
    first, second = await two_datasets(keys)
    live = of_key(keys, keys.ours)
    before = (await live.data("{ eventCursor }"))["eventCursor"]
    key, key_id = await key_for(keys, "VIEWER", first)
    live = of_key(keys, keys.ours)
    seen = await external(live, image_id=await image(live, first))
    hidden = await external(live, image_id=await image(live, second))
    again = await external(live, image_id=await image(live, first))
    grants = """mutation($key: ID!, $set: ID!) {
      grantDatasetRole(input: {keyId: $key, datasetId: $set, role: VIEWER}) { keyId } }"""
    revokes = """mutation($key: ID!, $set: ID!) {
      revokeDatasetRole(input: {keyId: $key, datasetId: $set}) { wasGiven } }"""
    async with started_socket(live, {"Authorization": f"Bearer {key}"}) as socket:
        await socket.subscribe("1", FOLLOW, after=before)

        async def told() -> tuple[str, str]:
            event = (await socket.next())["data"]["analysisEvents"]
            return event["analysisId"], event["status"]

        assert [await told(), await told()] == [(seen, "QUEUED"), (again, "QUEUED")]
        await live.data(grants, key=key_id, set=second)
        await set_status(live, hidden, "PROCESSING")
        assert await told() == (hidden, "PROCESSING")
        await live.data(revokes, key=key_id, set=second)
        await set_status(live, hidden, "COMPLETED")
        await set_status(live, seen, "PROCESSING")
        assert await told() == (seen, "PROCESSING")
        # A query on the same socket sees no more than that either.
        await live.data(revokes, key=key_id, set=first)
        await socket.subscribe("2", "{ datasets { totalCount } }")
        counted = await socket.next("2")
        assert counted["data"]["datasets"]["totalCount"] == 0
