"""Operations that ask for too many rows are refused before any SQL; the count is exact."""

from typing import Any

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, parse, validate

from opsin.core.plugin_host import PluginHost
from opsin.graphql.limits import Limits
from opsin.graphql.row_limit import UNPAGED, RowLimit, shape_of
from opsin.graphql.schema import build_schema
from tests.conftest import LiveServer
from tests.graphql.asking import codes
from tests.graphql.sockets import started_socket
from tests.graphql.statements import statements_of

in_module_loop = pytest.mark.asyncio(loop_scope="module")

NESTED = """query($images: Int!, $analyses: Int = 20) {
  images(first: $images) { nodes { analyses(first: $analyses) { nodes {
    annotations(first: 10) { nodes { id } } } } } } }"""
TOO_MANY: tuple[tuple[str, dict[str, Any]], ...] = (
    (NESTED, {"images": 1000, "analyses": 100}),
    ("{ datasets { nodes { images { nodes { analyses { nodes { annotations {"
     " totalCount nodes { id } } } } } } } } }", {}),
    ("{ viewer { name } images(first: 1000) { nodes { analyses(first: 1000) { nodes { id } } } } }",
     {}),
    # Each page alone is small enough, the sum is not.
    ("{ " + " ".join(
        f"i{n}: images(first: 200) {{ nodes {{ analyses(first: 200) {{ nodes {{ id }} }} }} }}"
        for n in range(26)) + " }", {}),
)  # fmt: skip
LARGE_PAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("query($n: Int!) { images(first: $n) { totalCount } }", {"n": 10_001}),
    ("{ datasets { nodes { images(first: 10001) { totalCount } } } }", {}),
    ("query($n: Int!) { datasets { nodes { images(first: $n) { totalCount } } } }", {"n": -1}),
)


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    limits = Limits(depth=16, fields=500, aliases=50, tokens=5_000)
    return build_schema(PluginHost(), limits)._schema


def rows_of(schema: GraphQLSchema, query: str, **variables: Any) -> int:
    """The rows that are counted for the one operation of the document."""
    document = parse(query)
    assert validate(schema, document) == []
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    shape = shape_of(schema, document, operation)
    return sum(rows.count({**shape.defaults, **variables}) for rows in shape.rows)


@pytest.mark.parametrize(
    ("query", "variables", "rows"),
    [
        ("{ __typename viewer { name } __schema { types { fields { name } } } }", {}, 0),
        ("{ images { totalCount pageInfo { hasNextPage } } }", {}, 0),
        ("{ images(first: 7) { nodes { id } } }", {}, 7),
        ("{ images { nodes { id } } }", {}, 50),
        ("{ images(first: 7) { edges { node { id dataset { name } } } } }", {}, 7),
        ("{ images(first: 7) { nodes { id } edges { cursor } more: nodes { id } } }", {}, 21),
        (NESTED, {"images": 1000}, 1000 + 1000 * 20 + 1000 * 20 * 10),
        (NESTED, {"images": 2, "analyses": 3}, 2 + 2 * 3 + 2 * 3 * 10),
        ("{ analyses(first: 3) { nodes { artifacts { id } } } }", {}, 3 + 3 * UNPAGED),
        ("""{ images(first: 3) { nodes { comments(first: 4) { nodes { id } } deletion { reason }
            classifications { nodes { imageClass { name } } } } } }""", {}, 3 + 3 * 4 + 3 * 50),
        ("""{ datasets(first: 2) { nodes { metadata classes(first: 5) { nodes { id } }
            deletions(first: 7) { totalCount } } } }""", {}, 2 + 2 * 5),
        ("{ operations { name } }", {}, UNPAGED),
        ("""{ similarImages(imageId: 1, operation: "o", first: 9) { image {
            analyses(first: 2) { nodes { id } } } } }""", {}, 9 + 18),
        # The same field selected again is one list.
        ("""{ images(first: 5) { ...a nodes { id } } }
            fragment a on ImageConnection { nodes { id analyses(first: 2) { nodes { id } } } }""",
         {}, 5 + 10),
        # Nobody is of two types.
        ("""{ node(id: 1) { ... on Image { analyses(first: 3) { nodes { id } } }
            ... on Dataset { images(first: 5) { nodes { id } } } ... on Node { id } } }""", {}, 5),
        ("""query($n: Int!) { node(id: 1) { ... on Image { analyses(first: $n) { nodes { id } } }
            ... on Dataset { images(first: 5) { nodes { id } } } } }""", {"n": 100}, 100),
    ],
)  # fmt: skip
def test_rows_are_counted(
    schema: GraphQLSchema, query: str, variables: dict[str, Any], rows: int
) -> None:
    assert rows_of(schema, query, **variables) == rows


@pytest.mark.parametrize(("a", "b", "rows"), [(True, True, 4), (True, False, 8), (False, True, 0)])
def test_what_is_left_out_does_not_count(
    schema: GraphQLSchema, a: bool, b: bool, rows: int
) -> None:
    query = """query($a: Boolean!, $b: Boolean!) {
      images(first: 4) @include(if: $a) { ...nodes
        edges @skip(if: true) { cursor } more: edges @skip(if: $b) { node { id } } }
      }
    fragment nodes on ImageConnection { nodes { id } nodes @include(if: $a) { id } }"""
    assert rows_of(schema, query, a=a, b=b) == rows


def test_what_is_known_is_bounded(schema: GraphQLSchema) -> None:
    limit = RowLimit(rows=10, page=10)
    for number in range(100):
        document = parse("{ images(first: 1) { nodes { id } } } #" + "." * 10_000 + str(number))
        operation = document.definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        assert limit.check(schema, document, operation, None) is None
    assert 0 < len(limit._known) < 30


def test_the_shape_is_worked_out_once(
    schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, document = RowLimit(rows=10, page=10), parse(NESTED)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    assert limit.check(schema, document, operation, {"images": 1, "analyses": 0}) is None
    monkeypatch.delattr("opsin.graphql.row_limit.shape_of")
    assert limit.check(schema, document, operation, {"images": 10, "analyses": 0}) is None
    assert limit.check(schema, document, operation, {"images": 10, "analyses": 1}) is not None
    refused = limit.check(schema, document, operation, {"images": 11, "analyses": 0})
    assert refused is not None and refused.message == "first must be from 0 to 10"


@in_module_loop
@pytest.mark.parametrize(("query", "variables"), TOO_MANY)
async def test_too_many_rows_are_refused_before_any_sql(
    door: LiveServer, query: str, variables: dict[str, Any]
) -> None:
    await door.data("{ viewer { name } }")  # finds the caller, once
    for _ in range(3):  # new, known, and compiled
        with statements_of() as statements:
            answer = await door.graphql(query, **variables)
        assert codes(answer) == ["DOCUMENT_TOO_COMPLEX"], answer
        assert "data" not in answer
        assert statements == []


@in_module_loop
async def test_a_known_document_is_refused_for_its_variables(door: LiveServer) -> None:
    for _ in range(2):
        await door.data(NESTED, images=1000)
        with statements_of() as statements:
            answer = await door.graphql(NESTED, images=1000, analyses=1000)
        assert codes(answer) == ["DOCUMENT_TOO_COMPLEX"]
        assert statements == []


@in_module_loop
@pytest.mark.parametrize(("query", "variables"), LARGE_PAGES)
async def test_a_page_that_is_too_large_is_refused_before_any_sql(
    door: LiveServer, query: str, variables: dict[str, Any]
) -> None:
    await door.data("{ viewer { name } }")
    for _ in range(3):
        with statements_of() as statements:
            answer = await door.graphql(query, **variables)
        assert codes(answer) == ["INVALID_INPUT"], answer
        assert answer["errors"][0]["message"] == "first must be from 0 to 10000"
        assert statements == []


@in_module_loop
async def test_sockets_and_streams_are_held_to_it(door: LiveServer) -> None:
    query, variables = TOO_MANY[0]
    async with started_socket(door) as socket:
        await socket.subscribe("1", query, **variables)
        refused = await socket.receive()
        assert refused["payload"][0]["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX"
        following = """subscription { analysisEvents { analysis { image {
          analyses(first: 1000) { nodes { annotations(first: 1000) { nodes { id } } } } } } } }"""
        await socket.subscribe("2", following)
        refused = await socket.receive()
        assert refused["payload"][0]["extensions"]["code"] == "DOCUMENT_TOO_COMPLEX", refused
    answer = await door.client.post(
        "/graphql",
        json={"query": query, "variables": variables},
        headers={"accept": "text/event-stream"},
    )
    assert "DOCUMENT_TOO_COMPLEX" in answer.text
