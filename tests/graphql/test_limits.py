"""Documents that are too large, however they are wrapped, and those that must fit."""

import time

import pytest
from graphql import get_introspection_query

from tests.conftest import LiveServer
from tests.graphql.asking import codes
from tests.graphql.sockets import started_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"


def nested(levels: int) -> str:
    """Datasets, their images, the datasets of these, ...: `levels` in all, of few rows."""
    pair = "images(first: 2) { nodes { dataset { "
    return "{ datasets { nodes { " + pair * ((levels - 3) // 3) + "id" + " }" * levels


def fields(count: int) -> str:
    """So many fields, in pairs: none of the selection sets is wide."""
    return "{ " + "viewer { name } " * (count // 2) + "__typename " * (count % 2) + "}"


def breadth(count: int) -> str:
    """A wide selection set, and one beside it."""
    return "{ viewer { " + "name " * count + "} datasets(first: 0) { totalCount } }"


def aliases(count: int) -> str:
    return "{ " + " ".join(f"v{n}: viewer {{ name }}" for n in range(count)) + " }"


def doubling(levels: int) -> str:
    """Each fragment spreads the next one twice: 2 to the power of `levels` names."""
    chain = " ".join(
        f"fragment f{n} on Viewer {{ ...f{n + 1} ...f{n + 1} }}" for n in range(levels)
    )
    return f"{{ viewer {{ ...f0 }} }} {chain} fragment f{levels} on Viewer {{ name }}"


def chain(length: int) -> str:
    """One fragment in another in another."""
    links = " ".join(f"fragment f{n} on Viewer {{ ...f{n + 1} }}" for n in range(length))
    return f"{{ viewer {{ ...f0 }} }} {links} fragment f{length} on Viewer {{ name }}"


HIDDEN_FIELDS = "{ viewer { ...f } } fragment f on Viewer { " + "name " * 500 + "}"
UNUSED_FIELDS = "{ viewer { name } } fragment f on Viewer { " + "name " * 2000 + "}"
INLINE_FIELDS = "{ viewer { " + "... on Viewer { name } " * 500 + "} }"
HIDDEN_DEPTH = (
    "{ datasets { nodes { ...a } } } fragment a on Dataset { images { nodes { ...b } } } "
    "fragment b on Image { dataset { images { nodes { dataset { images { nodes { dataset {"
    " images { nodes { dataset { images { nodes { dataset { id } } } } } } } } } } } } } }"
)
HIDDEN_ALIASES = "{ viewer { ...f } viewer { ...f } } fragment f on Viewer { " + " ".join(
    f"n{n}: name" for n in range(30)
)

TOO_LARGE = {
    "depth": nested(18),
    "depth in fragments": HIDDEN_DEPTH,
    "depth beyond the parser": "{a" * 3000,
    "fields": fields(501),
    "fields in a fragment": HIDDEN_FIELDS,
    "fields in an unused fragment": UNUSED_FIELDS,
    "fields in inline fragments": INLINE_FIELDS,
    "fields of the second operation": "query a { viewer { name } } query b " + fields(501),
    "breadth": breadth(257),
    "breadth of a fragment": "{ viewer { ...f ...f } } fragment f on Viewer { "
    + "name " * 129
    + "}",
    "aliases": aliases(51),
    "aliases in fragments": HIDDEN_ALIASES + " }",
    "doubling fragments": doubling(40),
    "a chain of fragments": chain(500),
    "tokens": "{ viewer { name } } # " + "\n" + "query b { viewer { name } } " * 1000,
    "bytes": "{ viewer { name } } # " + "ü" * 128 * 1024,
    "many directives": "{ viewer { name " + "@include(if: true) " * 1000 + "} }",
}
FITTING = {
    "depth": nested(15),
    "fields": fields(500),
    "breadth": breadth(256),
    "bytes": "{ viewer { name } } # " + "ü" * 120 * 1024,
    "aliases": aliases(50),
    "fragments": doubling(8),
    "introspection": get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        one_of=True,
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_is_too_large_is_refused_at_once(door: LiveServer, name: str) -> None:
    started = time.perf_counter()
    answer = await door.graphql(TOO_LARGE[name])
    assert set(codes(answer)) == {TOO_COMPLEX}, answer
    assert "data" not in answer
    assert time.perf_counter() - started < 20  # it would take a minute to check the rules first


@pytest.mark.parametrize("name", FITTING)
async def test_what_is_large_but_fits_is_answered(door: LiveServer, name: str) -> None:
    await door.data(FITTING[name])


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_the_limits_hold_on_sockets(door: LiveServer, name: str) -> None:
    async with started_socket(door) as socket:
        await socket.subscribe("1", TOO_LARGE[name])
        refused = await socket.receive()
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == TOO_COMPLEX


async def test_the_limits_hold_for_subscriptions(door: LiveServer) -> None:
    query = "subscription { analysisEvents { " + "cursor " * 257 + "} }"
    async with started_socket(door) as socket:
        await socket.subscribe("1", query)
        assert (await socket.receive())["payload"][0]["extensions"]["code"] == TOO_COMPLEX
    answer = await door.client.post(
        "/graphql", json={"query": query}, headers={"accept": "text/event-stream"}
    )
    assert TOO_COMPLEX in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { ...a } } fragment a on Viewer { ...a }",
        "{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a name }",
        "{ viewer { ...missing } }",
    ],
)
async def test_fragments_that_lead_nowhere_end(door: LiveServer, query: str) -> None:
    assert set(codes(await door.graphql(query))) == {"GRAPHQL_VALIDATION_FAILED"}


async def test_introspection_cannot_be_nested_without_end(door: LiveServer) -> None:
    query = "{ __schema { types { " + "fields { type { " * 5 + "name" + " } }" * 5 + " } } }"
    assert set(codes(await door.graphql(query))) == {"GRAPHQL_VALIDATION_FAILED"}


async def test_many_validation_errors_are_cut_off(door: LiveServer) -> None:
    answer = await door.graphql("{ " + "nothing " * 400 + "}")
    assert len(answer["errors"]) <= 101
