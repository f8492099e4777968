"""Columns as JSON: what a value of a GraphQL type is in SQL."""

import json
from collections.abc import Callable
from typing import Any

from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, GraphQLOutputType
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from opsin.graphql.compiler.rules import NotCompiled
from opsin.storage.json_sql import UNUSUAL, JsonSql, literal
from opsin.storage.tables import Id

_EXACT = 2**53
"""Up to here every whole number is a float."""


def shown(
    sql: JsonSql,
    kind: GraphQLOutputType,
    column: Column[Any],
    value: str,
    *,
    guarded: bool,
) -> str:
    """SQL for the JSON of a column's `value` as the schema types it.

    NULL is `null`; where the schema has no null it is UNUSUAL, or stays NULL if not `guarded`.
    """
    if isinstance(kind, GraphQLNonNull):
        text = _of_named(sql, kind.of_type, column, value)
        if isinstance(_plain_type(column.type), JSON):
            text = f"nullif({text},'null')"
        return f"coalesce({text},{literal(UNUSUAL)})" if guarded else text
    return f"coalesce({_of_named(sql, kind, column, value)},'null')"


def given(sql: JsonSql, column: Column[Any], value: str) -> str:
    """SQL for the JSON of a column's value as Python wants it; `null` for NULL."""
    return f"coalesce({_writer(sql, column.type)(value)},'null')"


def _of_named(sql: JsonSql, kind: Any, column: Column[Any], value: str) -> str:
    if isinstance(kind, GraphQLEnumType):
        return _of_enum(kind, value)
    stored = _plain_type(column.type)
    match "List" if isinstance(kind, GraphQLList) else kind.name:
        case "ID" if column.type is Id:
            return sql.identity(value)
        case "String" | "ID" if column.type is not Id and not isinstance(stored, JSON):
            return sql.text(value)
        case "Int" if isinstance(stored, Integer) and not isinstance(stored, BigInteger):
            return sql.integer(value)
        case "Float" if isinstance(stored, Float):
            return sql.number(value)
        case "Float" if isinstance(stored, Integer):
            exact = f"WHEN {value} BETWEEN {-_EXACT} AND {_EXACT} THEN {sql.number(value)}"
            return f"CASE {exact} WHEN {value} IS NOT NULL THEN {literal(UNUSUAL)} END"
        case "Boolean" if isinstance(stored, Boolean):
            return sql.boolean(value)
        case "DateTime" if isinstance(stored, DateTime):
            return f"'\"'||{sql.moment(value)}||'\"'"
        case "Date" if isinstance(stored, Date):
            return f"'\"'||{sql.day(value)}||'\"'"
        case "JSON" | "List" if isinstance(stored, JSON):
            return sql.json(value)
    raise NotCompiled(f"a column of {column.type} as {kind}")


def _of_enum(kind: GraphQLEnumType, value: str) -> str:
    members = kind.extensions["strawberry-definition"].wrapped_cls
    names = {definition.value: name for name, definition in kind.values.items()}
    cases = [
        f"WHEN {value}={literal(str(member.value))} THEN {literal(json.dumps(names[member.value]))}"
        for member in members
    ]
    return f"CASE {' '.join(cases)} WHEN {value} IS NOT NULL THEN {literal(UNUSUAL)} END"


def _writer(sql: JsonSql, kind: TypeEngine[Any]) -> Callable[[str], str]:
    stored = _plain_type(kind)
    if kind is Id:
        return sql.identity
    if isinstance(stored, JSON):
        return sql.json
    if isinstance(stored, DateTime):
        return lambda value: f"'\"'||{sql.moment(value)}||'\"'"
    if isinstance(stored, Date):
        return lambda value: f"'\"'||{sql.day(value)}||'\"'"
    if isinstance(stored, LargeBinary):
        return sql.binary
    if isinstance(stored, Boolean):
        return sql.boolean
    if isinstance(stored, Float):
        return sql.number
    if isinstance(stored, Integer):
        return sql.plain
    return sql.text


def _plain_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind
