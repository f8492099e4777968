"""Plans: what is worked out once, what is bound anew, and what is left to the resolvers."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import FieldNode, OperationDefinitionNode, VariableValues, get_variable_values, parse

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.records import Analysis
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.wire import encode_json
from tests.conftest import other_company
from tests.core.house import add_image

LIMITS = Limits(depth=40, fields=500, aliases=50, tokens=5000)
DEEPER = "image { dataset { images(first: 1) { nodes { analyses(first: 1) { nodes { %s } } } } } }"


@dataclass(slots=True)
class Door:
    """A schema over a house, and the statements that its compiled reads have made."""

    parts: Parts
    principal: Principal
    schema: OpsinSchema
    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)

    def context(self) -> Context:
        return Context(self.parts.use_cases, self.principal, "http://here", 1000)

    async def ask(self, document: str, name: str | None = None, **variables: Any) -> Any:
        answer = await self.schema.execute(document, variables, self.context(), operation_name=name)
        assert not answer.errors, answer.errors
        return json.loads(encode_json(answer.data))


@pytest.fixture
async def door(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    made = Door(parts, principal, build_schema(parts.use_cases.host, LIMITS))
    reader = parts.use_cases.database.reader

    def noting(fetch: Any) -> Any:
        async def noted(statement: str, parameters: Sequence[Any]) -> Any:
            made.statements.append((statement, parameters))
            return await fetch(statement, parameters)

        return noted

    for name in ("fetch_text", "fetch_rows"):
        monkeypatch.setattr(reader, name, noting(getattr(reader, name)))
    yield made


async def tell(door: Door, model: str = "yolo") -> Analysis:
    image = await add_image(door.parts, door.principal)
    new = NewExternalAnalysis(image.id, model, "1")
    return await door.parts.use_cases.analyses.tell(door.principal, new)


async def test_values_are_bound_and_the_statement_stays(door: Door) -> None:
    await tell(door)
    query = """query($n: Int, $model: String) {
      analyses(first: $n, filter: {modelName: $model}) { nodes { modelName } } }"""
    for n, model in ((1, "it's"), (2, "yolo"), (3, "yolo")):
        found = await door.ask(query, n=n, model=model)
        assert len(found["analyses"]["nodes"]) == (model == "yolo")
    (first, values), *others = door.statements
    assert {text for text, _ in others} == {first}
    assert values[0] == door.principal.company_id
    assert set(values[1:]) == {1, "it's"}
    assert "it's" not in first


async def test_a_filter_that_is_not_given_is_not_in_the_statement(door: Door) -> None:
    query = """query($model: String) {
      analyses(filter: {modelName: $model}) { nodes { id } } }"""
    await door.ask(query, model="yolo")
    await door.ask(query)
    (with_model, _), (without, _) = door.statements
    assert "model_name" in with_model
    assert "model_name" not in without


SEARCH = """query($text: String, $key: String, $label: [String!]) { images(first: 5, filter: {
  filenameContains: $text, metadata: {key: $key, contains: $text},
  analysis: {className: $label, confidenceFrom: 0.5}}) { nodes { id } } }"""


async def test_what_is_looked_for_is_bound(door: Door) -> None:
    await tell(door)
    for text, key, name in (("it's", "a", "x"), ("100%", "b", "y"), ("ü_", None, "it's")):
        found = await door.ask(SEARCH, text=text, key=key, label=[name])
        assert found == {"images": {"nodes": []}}
    # A variable that is null asks for nothing; a key that is null asks for any.
    assert len({text for text, _ in door.statements}) == 1
    assert "it's" not in door.statements[0][0]
    assert door.schema.compiler.counts.ordinary == 0


async def test_conditions_are_bound_where_a_row_is_read(door: Door) -> None:
    """A list of which nothing is shown has no parameter either."""
    query = """query($no: Boolean!, $text: String) {
      images(filter: {filenameContains: $text}) { totalCount @include(if: $no) } }"""
    assert await door.ask(query, no=False, text="a") == {"images": {}}
    assert await door.ask(query, no=True, text="a") == {"images": {"totalCount": 0}}
    assert [len(values) for _, values in door.statements] == [0, 2]
    assert door.schema.compiler.counts.ordinary == 0


async def test_a_search_walks_an_index_in_the_order_of_the_page(door: Door) -> None:
    await tell(door)
    await door.ask(SEARCH, text="a", key="b", label=["c"])
    ((statement, values),) = door.statements
    reader = door.parts.use_cases.database.reader
    is_sqlite = door.parts.use_cases.database.is_sqlite
    explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    rows = await reader.fetch_rows(f"{explain}{statement}", values)
    plan = "\n".join(str(one[-1]) for one in rows)
    for index in (
        "ix_images_company_id_id",
        "ix_analyses_image_id_id",
        "ix_annotations_analysis_id",
    ):
        assert index in plan, plan
    for slow in ("Seq Scan on", "SCAN images", "SCAN t", "Sort", "TEMP B-TREE"):
        assert slow not in plan, plan


async def test_booleans_choose_what_is_read(door: Door) -> None:
    await tell(door)
    query = """query($more: Boolean!) {
      analyses { nodes { id ... @include(if: $more) { modelName } status @skip(if: $more) } } }"""
    for more, keys in ((True, ["id", "modelName"]), (False, ["id", "status"])) * 2:
        (node,) = (await door.ask(query, more=more))["analyses"]["nodes"]
        assert list(node) == keys
    assert len({text for text, _ in door.statements}) == 2
    assert ["model_name" in text for text, _ in door.statements] == [True, False] * 2


async def test_a_known_document_needs_no_look_at_its_text(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ datasets { totalCount } }"
    await door.ask(query)

    def fail(*arguments: object) -> None:
        raise AssertionError("the extensions are not run")

    monkeypatch.setattr(door.schema, "get_extensions", fail)
    assert await door.ask(query) == {"datasets": {"totalCount": 0}}


async def test_roots_of_both_kinds_keep_their_order(door: Door) -> None:
    query = """{ viewer { name } __typename one: datasets { totalCount }
      plugins { name } eventCursor two: images { totalCount } }"""
    counts = door.schema.compiler.counts
    before = counts.compiled, counts.ordinary
    found = await door.ask(query)
    assert list(found) == ["viewer", "__typename", "one", "plugins", "eventCursor", "two"]
    assert found["viewer"] == {"name": "local user"}
    assert found["one"] == found["two"] == {"totalCount": 0}
    assert (counts.compiled - before[0], counts.ordinary - before[1]) == (4, 2)


async def test_one_of_several_operations_is_chosen_by_its_name(door: Door) -> None:
    query = "query A { datasets { totalCount } } query B { images { totalCount } }"
    for _ in range(2):
        assert list(await door.ask(query, "A")) == ["datasets"]
        assert list(await door.ask(query, "B")) == ["images"]
    refused = await door.schema.execute(query, {}, door.context())
    assert refused.errors is not None


async def test_arguments_that_are_refused_are_the_resolvers_to_refuse(door: Door) -> None:
    query = "query($after: String) { datasets(after: $after) { totalCount } }"
    await door.ask(query)
    for _ in range(2):
        answer = await door.schema.execute(query, {"after": "nonsense"}, door.context())
        assert [error.path for error in answer.errors or []] == [["datasets"]]
    assert await door.ask(query) == {"datasets": {"totalCount": 0}}


@pytest.mark.parametrize("levels", [1, 2, 6])
async def test_any_depth_is_answered(door: Door, levels: int) -> None:
    """SQLite's parser has an end; what is beyond it goes through the resolvers."""
    analysis = await tell(door)
    inner = "id"
    for _ in range(levels):
        inner = DEEPER % inner
    found = await door.ask(f"query($id: ID!) {{ analysis(id: $id) {{ {inner} }} }}", id=analysis.id)
    for _ in range(levels):
        (image,) = found.popitem()[1]["image"]["dataset"]["images"]["nodes"]
        found = {"": image["analyses"]["nodes"][0]}
    assert found == {"": {"id": analysis.id}}


async def test_the_end_of_the_log_is_read_before_what_is_told_of(door: Door) -> None:
    await tell(door)
    found = await door.ask("{ analyses { totalCount } eventCursor }")
    assert list(found) == ["analyses", "eventCursor"]
    assert ["FROM events" in text for text, _ in door.statements] == [True, False]
    position = await door.parts.use_cases.events.position()
    assert int(found["eventCursor"]) == position > 0


async def test_rows_are_read_by_id_and_only_the_callers_own(door: Door) -> None:
    mine = [await tell(door, model) for model in ("one", "two")]
    stranger = await other_company(door.parts)
    image = await add_image(door.parts, stranger)
    theirs = await door.parts.use_cases.analyses.tell(
        stranger, NewExternalAnalysis(image.id, "theirs", "1")
    )
    document = parse("query($n: Int) { it { modelName annotations(first: $n) { totalCount } } }")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    (node,) = operation.selection_set.selections
    assert isinstance(node, FieldNode)
    reader = door.schema.compiler.row_reader("Analysis", document, [node])
    variables = get_variable_values(
        door.schema._schema, operation.variable_definitions or (), {"n": 3}
    )
    assert isinstance(variables, VariableValues)
    ids = [mine[1].id, theirs.id, mine[0].id]
    found = await reader.read(door.context(), variables, ids)
    assert found is not None
    assert {key: json.loads(text) for key, text in found.items()} == {
        one.id: {"modelName": one.model_name, "annotations": {"totalCount": 0}} for one in mine
    }
