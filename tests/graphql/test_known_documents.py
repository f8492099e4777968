"""Documents sent again are neither parsed nor validated again, and refused as ever."""

from typing import Any

import graphql
import pytest
from strawberry.schema import schema as strawberry_schema
from strawberry.schema.exceptions import CannotGetOperationTypeError

from opsin.core.plugin_host import PluginHost
from opsin.graphql import limits
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.known_documents import Documents
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema

TWO = "query A { __typename } query B { type: __typename }"


class Work:
    """Counts what graphql-core is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parsed = self.validated = 0
        parse, validate = graphql.parse, strawberry_schema.validate_document

        def counted_parse(*given: Any, **options: Any) -> Any:
            self.parsed += 1
            return parse(*given, **options)

        def counted_validate(*given: Any, **options: Any) -> Any:
            self.validated += 1
            return validate(*given, **options)

        monkeypatch.setattr(strawberry_schema, "parse", counted_parse)
        monkeypatch.setattr(limits, "validate_document", counted_validate)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


@pytest.fixture
def schema() -> OpsinSchema:
    return build_schema(PluginHost(), Limits(depth=16, fields=500, aliases=50, tokens=5_000))


async def ask(schema: OpsinSchema, query: str, operation: str | None = None) -> Any:
    answer = await schema.execute(query, operation_name=operation)
    return [error.message for error in answer.errors] if answer.errors else answer.data


async def test_a_valid_document_is_read_once(schema: OpsinSchema, work: Work) -> None:
    for _ in range(3):
        assert await ask(schema, "{ __typename }") == {"__typename": "Query"}
    assert (work.parsed, work.validated) == (1, 1)
    await ask(schema, "{ type: __typename }")
    assert (work.parsed, work.validated) == (2, 2)


@pytest.mark.parametrize(
    "query", ["{ nothing }", "{", "{ " + " ".join(f"a{n}: __typename" for n in range(60)) + " }"]
)
async def test_what_is_refused_is_refused_again(
    schema: OpsinSchema, work: Work, query: str
) -> None:
    first = await ask(schema, query)
    assert isinstance(first, list) and first == await ask(schema, query)
    assert work.parsed == 2


async def test_which_operation_is_meant_is_asked_each_time(schema: OpsinSchema) -> None:
    for _ in range(2):
        assert await ask(schema, TWO, "A") == {"__typename": "Query"}
        assert await ask(schema, TWO, "B") == {"type": "Query"}
        assert await ask(schema, TWO) == ["Several operations need an operationName"]
        with pytest.raises(CannotGetOperationTypeError):
            await ask(schema, TWO, "C")


async def test_schemas_do_not_share_documents(schema: OpsinSchema, work: Work) -> None:
    other = build_schema(PluginHost(), Limits(depth=16, fields=500, aliases=0, tokens=5_000))
    query = "{ type: __typename }"
    assert await ask(schema, query) == {"type": "Query"}
    assert isinstance(await ask(other, query), list)


async def test_long_documents_are_not_kept(schema: OpsinSchema, work: Work) -> None:
    query = "{ __typename } #" + "." * 20_000
    for _ in range(2):
        assert await ask(schema, query) == {"__typename": "Query"}
    assert work.parsed == 2


def test_their_number_is_bounded() -> None:
    documents = Documents()
    for number in range(1_000):
        documents.put(str(number).zfill(10_000), graphql.parse("{ __typename }"))
    assert 0 < len(documents) < 30
    assert documents.get(str(999).zfill(10_000)) is not None


def test_what_is_kept_stays() -> None:
    documents, trusted = Documents(), graphql.parse("{ __typename }")
    documents.keep("x" * 100_000, trusted)
    for number in range(1_000):
        documents.put(str(number).zfill(10_000), graphql.parse("{ __typename }"))
    assert documents.get("x" * 100_000) is trusted
