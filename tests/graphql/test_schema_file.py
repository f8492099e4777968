"""The committed schema is the one that the server serves."""

import difflib

import pytest
from graphql import build_schema

from tests.graphql.print_schema import COMMAND, COMMITTED, printed_schema


def test_the_committed_schema_is_current() -> None:
    committed, printed = COMMITTED.read_text("utf-8"), printed_schema()
    changes = "\n".join(
        difflib.unified_diff(
            committed.splitlines(),
            printed.splitlines(),
            "schema.graphql",
            "the server",
            lineterm="",
        )
    )
    if committed != printed:
        pytest.fail(f"schema.graphql differs; if you meant it, run: {COMMAND}\n{changes}")


def test_the_committed_schema_is_graphql() -> None:
    schema = build_schema(COMMITTED.read_text("utf-8"))
    assert schema.query_type and schema.mutation_type and schema.subscription_type
