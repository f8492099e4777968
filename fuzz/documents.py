"""GraphQL documents: measured and validated in no time, whatever they hold."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    parse,
    validate,
)

import opsin.graphql
from fuzz.target import Target, check
from opsin.graphql.limits import Limits, excesses
from opsin.graphql.row_limit import RowLimit
from opsin.graphql.trusted_documents import TrustedDocuments

LIMITS = Limits(depth=16, fields=500, aliases=50, tokens=5000)


@cache
def _schema() -> GraphQLSchema:
    return build_schema(Path(opsin.graphql.__file__).with_name("schema.graphql").read_text("utf-8"))


def document(data: bytes) -> None:
    try:
        text = data.decode()
        parsed = parse(text, max_tokens=LIMITS.tokens)
    except (UnicodeDecodeError, GraphQLError, RecursionError):
        return
    if list(excesses(parsed, LIMITS)):
        return
    if not validate(_schema(), parsed):
        _count_rows(parsed)
    with suppress(GraphQLError):
        check(TrustedDocuments().text({"query": text}) == text, "a text is itself")


def _count_rows(parsed: DocumentNode) -> None:
    limit = RowLimit(rows=LIMITS.rows, page=LIMITS.page)
    for operation in parsed.definitions:
        if isinstance(operation, OperationDefinitionNode):
            limit.check(_schema(), parsed, operation, {})


def _seeds() -> Sequence[bytes]:
    return [
        b"query a($n: Int = 5, $b: Boolean!) { images(first: $n) @include(if: $b) { nodes {"
        b" id ...f analyses { nodes { annotations(first: 2) { nodes { id } } } } } } }"
        b" fragment f on Image { width height: width dataset { images { totalCount } } }",
        b'mutation { createDataset(input: {name: "\\u00e9"}) { id } }',
        b"{ a: __typename ...f } fragment f on Query { ...f }",
        b"subscription { analysisEvents(after: null) { cursor } }",
    ]


TARGETS = (Target("documents", document, _seeds),)
