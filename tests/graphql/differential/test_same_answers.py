"""Compiled or resolved, on SQLite or PostgreSQL, the answer to a query is the same."""

import json
import re
from collections.abc import Sequence

import pytest
from graphql import GraphQLObjectType, GraphQLSchema, get_named_type, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from opsin.graphql.queries import RULES
from opsin.storage import tables
from tests.graphql.differential.comparing import Answer, body, comparable, first_difference
from tests.graphql.differential.conftest import bounded
from tests.graphql.differential.documents import Document, documents
from tests.graphql.differential.houses import COMPILED_ROOTS, RESOLVED_FIELDS, House
from tests.graphql.differential.pools import Pools
from tests.graphql.differential.rows import OURS
from tests.graphql.differential.systematic import arguments, everything

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # graphql-core does not await the fields beside one that fails at once.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
]

OTHER_ROOTS = ("operations", "plugins", "viewer", "eventCursor")
"""What is not made of rows, beside the roots that are."""
_IMAGE = OURS.id(tables.images)
MIXED = (
    "{ images { nodes { id } } __typename }",
    "{ b: __typename datasets { nodes { a: name } } viewer { company } a: __typename }",
    '{ __schema { queryType { name } } images { totalCount } __type(name: "Box") { name } }',
    "{ images { a: totalCount } viewer { name } images { b: totalCount totalCount } }",
    '{ viewer { name } node(id: "x") { id } image(id: "x") { id } viewer { company } }',
    '{ images { totalCount } analyses(after: "x") { totalCount } viewer { name } }',
    '{ viewer { name } datasets { nodes { images(after: "x") { nodes { id } } } } }',
    '{ dataset(id: "x") { id } imagesLike(text: "x", operation: "class") { similarity } }',
    f'{{ image(id: "{_IMAGE}") {{ id }} similarImages(imageId: "{_IMAGE}", operation: "x") '
    "{ image { id } } }",
    f'{{ image(id: "{_IMAGE}") {{ id thumbnailUrl(width: 0) }} images {{ totalCount }} }}',
    # What fails beside `dataset` must not take it from the other image, which waits for the same.
    f'{{ a: image(id: "{_IMAGE}") {{ dataset {{ id }} analyses(after: "x") {{ totalCount }} }}'
    f' b: image(id: "{OURS.id(tables.images, 1)}") {{ dataset {{ id }} }} }}',
    "query($yes: Boolean = true, $no: Boolean = false) { a: images @skip(if: $yes) { totalCount }"
    " viewer @include(if: $no) { name } b: images @include(if: $yes) { totalCount } }",
    "query($no: Boolean = false) { images @include(if: $no) { totalCount } }",
)
"""Roots that are read in SQL beside others, and errors in each of them."""
_MOST_ROWS = 40


def schema_of(houses: dict[str, House]) -> GraphQLSchema:
    return houses["SQLite"].ordinary._schema


async def assert_same(
    houses: dict[str, House], document: Document, times: Sequence[str] = ("new", "known")
) -> Answer:
    """Every house and both ways give one answer, also to a document that is known by then."""
    first: Answer | None = None
    for house in houses.values():
        resolved = comparable(await house.ask(house.ordinary, document))
        for when in times:
            compiled = comparable(await house.ask(house.compiled, document))
            if compiled == resolved or await may_answer(house, document, compiled):
                continue
            differs = first_difference(resolved.data, compiled.data)
            errors = f"{resolved.errors} and {compiled.errors}"
            pytest.fail(f"compiled, {when}, on {house.name}: {differs}, {errors} of {document}")
        first = first or resolved
        differs = first_difference(first.data, resolved.data)
        assert differs is None, f"resolved on {house.name}: {differs} of {document}"
        assert first.reasons == resolved.reasons, f"resolved on {house.name}: {document}"
    assert first is not None
    return first


async def may_answer(house: House, document: Document, answer: Answer) -> bool:
    """Whether resolvers answer so as well: of several errors, any may be the first."""
    if not answer.errors:
        return False
    for _ in range(4):
        if comparable(await house.ask(house.ordinary, document)) == answer:
            return True
    return False


def ordinary_reads(houses: dict[str, House]) -> int:
    """How many roots the resolvers have answered where they could have been compiled."""
    return sum(house.compiled.compiler.counts.ordinary for house in houses.values())


@bounded(80)
@given(data=st.data())
async def test_generated_queries(
    houses: dict[str, House], pools: Pools, data: st.DataObject
) -> None:
    document = data.draw(documents(schema_of(houses), pools, COMPILED_ROOTS))
    errors = [error.message for error in validate(schema_of(houses), parse(document.query))]
    # Values that are no moment, and numbers that are no Int, are refused by validation on purpose.
    assert [one for one in errors if "xpected value of type" not in one and "Int" not in one] == []
    for one in (document, document.varied()) if document.variables else (document,):
        before = ordinary_reads(houses)
        answer = await assert_same(houses, one)
        # Else the test would compare the resolvers with themselves.  What is refused below an
        # empty list is no error: only resolvers see that nothing is asked with it.
        may_resolve = (
            answer.errors or one.has_mistake or RESOLVED_FIELDS & set(re.findall(r"\w+", one.query))
        )
        assert may_resolve or ordinary_reads(houses) == before, f"not compiled: {one}"


@bounded(30)
@given(data=st.data())
async def test_generated_queries_of_all_roots(
    houses: dict[str, House], pools: Pools, data: st.DataObject
) -> None:
    roots: Sequence[str] = (*COMPILED_ROOTS, *OTHER_ROOTS)
    await assert_same(houses, data.draw(documents(schema_of(houses), pools, roots)))


@pytest.mark.parametrize("query", MIXED)
async def test_roots_of_several_kinds(houses: dict[str, House], query: str) -> None:
    await assert_same(houses, Document(query, {}))


async def test_all_but_a_few_fields_are_compiled(houses: dict[str, House]) -> None:
    schema, one = schema_of(houses), houses["SQLite"]
    counts = one.compiled.compiler.counts
    resolved: set[str] = set()
    for name, reads in RULES.types.items():
        kind = schema.type_map[name]
        assert isinstance(kind, GraphQLObjectType)
        for field in kind.fields:
            others = frozenset(kind.fields) - {field}
            body = everything(schema, kind, 1, others)
            query = f'{{ node(id: "{OURS.id(reads.table)}") {{ ... on {name} {body} }} }}'
            before = counts.ordinary
            await one.ask(one.compiled, Document(query, {}))
            resolved |= {field} if counts.ordinary > before else set()
    assert resolved == RESOLVED_FIELDS


@pytest.mark.parametrize("root", [name for name in COMPILED_ROOTS if name.endswith("s")])
async def test_every_field_of_every_list(houses: dict[str, House], root: str) -> None:
    schema = schema_of(houses)
    assert schema.query_type is not None
    kind = get_named_type(schema.query_type.fields[root].type)
    await assert_same(houses, Document(f"{{ {root} {everything(schema, kind, 3)} }}", {}))


@pytest.mark.parametrize("root", [name for name in COMPILED_ROOTS if not name.endswith("s")])
async def test_every_field_of_every_row(houses: dict[str, House], pools: Pools, root: str) -> None:
    schema = schema_of(houses)
    assert schema.query_type is not None
    field = schema.query_type.fields[root]
    (argument, kind), shown = next(iter(field.args.items())), get_named_type(field.type)
    pool = pools.of(root, argument, kind.type)
    body = everything(schema, shown, 1)
    for value in (*pool.good[:_MOST_ROWS], *pool.bad):
        document = f"query($value: {kind.type}) {{ {root}({argument}: $value) {body} }}"
        await assert_same(houses, Document(document, {"value": value}), ["known"])


async def test_every_argument(houses: dict[str, House], pools: Pools) -> None:
    parents = {
        "Dataset": OURS.id(tables.datasets),
        "Image": OURS.id(tables.images),
        "Analysis": OURS.id(tables.analyses),
        "Collection": OURS.id(tables.collections),
    }
    for document in arguments(schema_of(houses), pools, parents):
        await assert_same(houses, document, ["new"])


@pytest.mark.parametrize("order", ["CREATED_ASC", "CREATED_DESC", "UPDATED_ASC", "UPDATED_DESC"])
async def test_pages_hold_every_row_once(houses: dict[str, House], order: str) -> None:
    query = """query($first: Int!, $after: String, $order: AnalysisOrder!) {
      analyses(first: $first, after: $after, orderBy: $order) {
        totalCount nodes { id } pageInfo { endCursor hasNextPage hasPreviousPage } } }"""
    for house in houses.values():
        for first in (1, 7):
            found: list[str] = []
            after, more = None, True
            while more and len(found) <= 100:  # without an end, if cursors did not move on
                variables = {"first": first, "order": order, "after": after}
                answer = await house.ask(house.compiled, Document(query, variables))
                page = json.loads(body(answer))["data"]["analyses"]
                assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
                found += [node["id"] for node in page["nodes"]]
                after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
            assert len(found) == len(set(found)) == page["totalCount"] > 30
            whole = Document(query, {"first": 100, "order": order})
            at_once = json.loads(body(await house.ask(house.ordinary, whole)))
            assert found == [node["id"] for node in at_once["data"]["analyses"]["nodes"]]
