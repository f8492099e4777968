"""Every field of the schema with keys of every kind: what each may see and do, and what not.

Documents are written from the schema, so that a new field is asked for without anybody's help, and
a new mutation without a line here fails.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from graphql import (
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    parse,
    print_ast,
)
from sqlalchemy import update

from opsin.core.roles import Permission, Role
from opsin.settings import Settings
from opsin.storage.tables import api_keys
from tests.graphql import asking
from tests.graphql.asking import codes
from tests.graphql.callers import MUTATIONS, OPEN, QUERIES
from tests.graphql.conftest import key_server
from tests.graphql.differential.systematic import everything
from tests.graphql.print_schema import built_in_schema
from tests.graphql.test_tenancy import House, _made_for, _things, ask

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

ANYBODY, SIGNED_IN = "anybody", "who is signed in"
NEEDS: Mapping[str, Permission | str] = {
    **dict.fromkeys(("createComment", "updateComment", "deleteComment", "classifyImage",
                     "declassifyImage", "setMetadata", "softDeleteImage",
                     "restoreImage", "createImageClass", "updateImageClass",
                     "deleteImageClass"), Permission.ANNOTATE),
    **dict.fromkeys(("uploadImage", "importImage", "createSubject", "updateSubject",
                     "createBatch"), Permission.UPLOAD),
    **dict.fromkeys(("analyze", "analyzeImage", "retryAnalysis", "cancelAnalysis"),
                    Permission.ANALYZE),
    **dict.fromkeys(("createAnalysis", "addAnnotations", "updateAnalysisStatus",
                     "presignArtifacts", "finalizeAnalysis"), Permission.REPORT),
    **dict.fromkeys(("logout", "createPrivateToken", "deletePrivateToken"), SIGNED_IN),
    **dict.fromkeys(OPEN, ANYBODY),
}  # fmt: skip
"""What a mutation takes; all others are the administrators'."""

AUTHORS = frozenset({"updateComment", "deleteComment", "declassifyImage"})
"""Of those only who made a thing may change it, beside administrators."""

ADMINISTRATORS_READ = frozenset({"auditLog"})
"""Root fields that are refused to all others."""


_FOUND = {
    "dataset": "Dataset",
    "datasets": "Dataset",
    "image": "Image",
    "images": "Image",
    "analysis": "Analysis",
    "analyses": "Analysis",
    "node": "Image",
}
"""Root fields that show something of the second dataset, by the type of what they show."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A company's things, a second dataset with an image of its own, and keys by what they may."""

    house: House
    by_role: Mapping[Role, str]
    in_other: Mapping[Role, str]
    """The same in the second dataset only."""
    expired: str
    other: Mapping[str, str]
    """What is in the second dataset."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Keys]:
    changes = {
        "data_dir": tmp_path_factory.mktemp("access"),
        "webhook_allow": ("127.0.0.1:9",),
        # Every field in one document is more than a caller may ask for.
        "graphql_max_fields": 50_000,
        "graphql_max_aliases": 5_000,
        "graphql_max_tokens": 200_000,
        "graphql_max_breadth": 5_000,
    }
    async with key_server(module_settings.model_copy(update=changes)) as server:
        house = House(server, await _things(server))
        access = server.parts.use_cases.access
        owner = await access.authenticate(server.ours)
        live = server.live
        live.client.headers["x-api-key"] = server.ours
        other = {"Dataset": await asking.dataset(live, "the other")}
        other["Image"] = await asking.image(live, other["Dataset"])
        other["Analysis"] = await asking.external(live, other["Image"])
        del live.client.headers["x-api-key"]
        everywhere = {
            role: (await server.parts.use_cases.api_keys.create(owner, role, role=role))[1]
            for role in Role
        }
        only = [other["Dataset"]]
        there = {
            role: (
                await server.parts.use_cases.api_keys.create(
                    owner, role, role=role, dataset_ids=only
                )
            )[1]
            for role in Role
        }
        soon = datetime.now(UTC) + timedelta(hours=1)
        made, expired = await server.parts.use_cases.api_keys.create(owner, "old", expires_at=soon)
        async with server.parts.use_cases.database.write() as transaction:
            over = update(api_keys).where(api_keys.c.id == made.id)
            await transaction.connection.execute(over.values(expires_at=datetime.now(UTC)))
        yield Keys(house, everywhere, there, expired, other)


def schema() -> GraphQLSchema:
    return built_in_schema()._schema


def reads(ids: Mapping[str, str]) -> dict[str, str]:
    """For every root field of queries a document with every field below it, two types deep."""
    query = schema().query_type
    assert query is not None
    found = {}
    for name, field in query.fields.items():
        kind = get_named_type(field.type)
        if not hasattr(kind, "fields"):
            found[name] = f"{{ {name} }}"
            continue
        given = QUERIES[name].document if name in QUERIES else f"{{ {name} }}"
        (operation,) = parse(given % ids).definitions
        assert isinstance(operation, OperationDefinitionNode)
        (node,) = operation.selection_set.selections
        assert isinstance(node, FieldNode)
        arguments = ", ".join(map(print_ast, node.arguments or ()))
        start = f"{name}({arguments})" if arguments else name
        found[name] = f"{{ {start} {everything(schema(), kind, 1)} }}"
    return found


async def test_every_mutation_is_known_by_what_it_takes() -> None:
    """What is not named is the administrators', so that a new one is refused to all others."""
    mutations = schema().mutation_type
    assert mutations is not None and NEEDS.keys() <= mutations.fields.keys()
    assert OPEN | MUTATIONS.keys() <= mutations.fields.keys()


async def test_no_field_is_told_without_a_good_key(world: Keys) -> None:
    for name in reads(world.house.ids):
        document = QUERIES[name].document % world.house.ids if name in QUERIES else f"{{ {name} }}"
        for key in (None, world.house.keys.revoked, world.expired, "opsin_000000000000_0"):
            answer = await ask(world.house.keys.live, document, key)
            assert answer.status_code == 401, document
            assert codes(answer.json()) == ["UNAUTHENTICATED"] and "data" not in answer.json()


async def test_no_field_shows_another_company_anything(world: Keys) -> None:
    """Everything that there is of ours has an id, and no answer to the others has one of them."""
    ours = {*filter(None, world.house.ids.values()), *world.other.values()}
    shown = 0
    for document in reads(world.house.ids).values():
        theirs = await ask(world.house.keys.live, document, world.house.keys.theirs)
        assert theirs.status_code == 200 and "DOCUMENT_TOO_COMPLEX" not in theirs.text
        assert not [one for one in ours if one in data_of(theirs)], document
        mine = await ask(world.house.keys.live, document, world.house.keys.ours)
        shown += sum(one in data_of(mine) for one in ours)
    assert shown > len(ours)


async def test_who_reads_sees_what_administrators_see(world: Keys) -> None:
    """But for what is said to be theirs: keys, people, the audit, and who is asking."""
    for name, document in reads(world.house.ids).items():
        if name == "viewer":
            continue
        mine = await ask(world.house.keys.live, document, world.by_role[Role.VIEWER])
        if name in ADMINISTRATORS_READ:
            assert codes(mine.json()) == ["FORBIDDEN"], (name, mine.text)
            continue
        assert "FORBIDDEN" not in codes(mine.json()), (name, mine.text)
        admin = await ask(world.house.keys.live, document, world.by_role[Role.ADMIN])
        assert codes(mine.json()) == codes(admin.json()), name


async def test_a_key_of_one_dataset_sees_no_other(world: Keys) -> None:
    hidden = {*filter(None, world.house.ids.values())} - {world.house.ids["Application"]}
    for role in (Role.VIEWER, Role.ADMIN):
        key = world.in_other[role]
        for name, document in reads(world.house.ids).items():
            answer = await ask(world.house.keys.live, document, key)
            seen = [one for one in hidden if one in data_of(answer)]
            assert not seen, (role, name, answer.text[:2000])
        own = reads(dict(world.house.ids) | dict(world.other))
        for name, kind in _FOUND.items():
            answer = await ask(world.house.keys.live, own[name], key)
            assert world.other[kind] in data_of(answer), (role, name, answer.text[:2000])


@pytest.mark.parametrize("field", MUTATIONS)
async def test_what_a_role_may_not_do_is_refused(world: Keys, field: str) -> None:
    """In the whole company, and with a key of another dataset, which does not even see it."""
    needs = NEEDS.get(field, Permission.ADMIN)
    if not isinstance(needs, Permission):
        pytest.skip("it takes no permission: see the tests of signing in")
    row, server = MUTATIONS[field], world.house.keys
    ids = world.house.ids | {"Made": await _made_for(world.house, field)}
    document = row.document % ids
    for role, key in world.in_other.items():
        answer = (await ask(server.live, document, key)).json()
        assert codes(answer) in (["NOT_FOUND"], ["FORBIDDEN"]), (role, answer)
        assert not any(one in json.dumps(answer["data"]) for one in ids.values() if one)
    for role in Role:
        if needs in role.permissions:
            continue
        answer = (await ask(server.live, document, world.by_role[role])).json()
        assert codes(answer) == ["FORBIDDEN"], (role, answer)
    for role in Role:
        if needs in role.permissions and role is not Role.ADMIN:
            answer = (await ask(server.live, document, world.by_role[role])).json()
            owned = "FORBIDDEN" if field in AUTHORS else row.owned
            assert codes(answer) == ([owned] if owned else []), (role, answer)
            break


def data_of(answer: httpx.Response) -> str:
    body: dict[str, Any] = answer.json()
    return json.dumps(body.get("data"))
