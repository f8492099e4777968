"""Queries written out from a schema: every field of every type, and every argument by itself."""

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_required_argument,
)

from tests.graphql.differential.argument_values import literal
from tests.graphql.differential.documents import Document
from tests.graphql.differential.pools import Pool, Pools

_CONNECTION = (
    "{ totalCount pageInfo { startCursor endCursor hasNextPage hasPreviousPage } nodes { id } }"
)
_MOST_GOOD = 5
_AT_ONCE = 20


def everything(
    schema: GraphQLSchema,
    kind: GraphQLNamedType,
    levels: int,
    without: frozenset[str] = frozenset(),
) -> str:
    """All fields of a type, and so on for so many levels; `{ __typename }` below."""
    return f"{{ __typename {' '.join(_all(schema, kind, levels, without))} }}"


def _all(
    schema: GraphQLSchema, kind: GraphQLNamedType, levels: int, without: frozenset[str]
) -> Iterator[str]:
    if isinstance(kind, GraphQLUnionType | GraphQLInterfaceType):
        for one in schema.get_possible_types(kind):
            # Members have fields of one name and several types: each gets names of its own.
            for text in _fields(schema, one, levels, without, f"{one.name}_"):
                yield f"... on {one.name} {{ {text} }}"
    elif isinstance(kind, GraphQLObjectType):
        yield from _fields(schema, kind, levels, without)


def _fields(
    schema: GraphQLSchema,
    kind: GraphQLObjectType,
    levels: int,
    without: frozenset[str],
    mark: str = "",
) -> Iterator[str]:
    for name, field in kind.fields.items():
        if name in without:
            continue
        required = [
            f"{argument}: {_any_value(one.type)}"
            for argument, one in field.args.items()
            if is_required_argument(one)
        ]
        alias = f"{mark}{name}: {name}" if mark else name
        alias += f"({', '.join(required)})" if required else ""
        inner = get_named_type(field.type)
        if not hasattr(inner, "fields") and not isinstance(inner, GraphQLUnionType):
            yield alias
        elif levels > 0:
            yield f"{alias} {everything(schema, inner, levels - 1, without)}"
        else:
            yield f"{alias} {{ __typename }}"


def _any_value(kind: GraphQLInputType) -> str:
    """A value for an argument that must be given: of a field of a row, so far, all are enums."""
    plain = get_nullable_type(kind)
    assert isinstance(plain, GraphQLEnumType)
    return str(next(iter(plain.values)))


def arguments(schema: GraphQLSchema, pools: Pools, parents: dict[str, str]) -> Iterator[Document]:
    """Each value of each argument of each connection: good ones together, bad ones alone.

    `parents` are ids of rows that have children, by type.
    """
    assert schema.query_type is not None
    for kind in (schema.query_type, *(schema.type_map[name] for name in parents)):
        assert isinstance(kind, GraphQLObjectType)
        start, end = "{", "}"
        if kind is not schema.query_type:
            start = f'{{ node(id: "{parents[kind.name]}") {{ ... on {kind.name} {{'
            end = "} } }"
        for name, field in kind.fields.items():
            if not get_named_type(field.type).name.endswith("Connection"):
                continue
            given = _given(name, dict(field.args), pools)
            good = [f"v{n}: {name}({text}) {_CONNECTION}" for n, text in enumerate(given.good)]
            for begin in range(0, len(good), _AT_ONCE):
                yield Document(f"{start} {' '.join(good[begin : begin + _AT_ONCE])} {end}", {})
            for text in given.bad:
                yield Document(f"{start} {name}({text}) {_CONNECTION} {end}", {})


def _given(field: str, given: dict[str, Any], pools: Pools) -> Pool:
    """The arguments, or members of a filter, one at a time, as a document has them."""
    good, bad = [], []
    for name, argument in given.items():
        plain = get_nullable_type(argument.type)
        if plain is argument.type:
            good.append(f"{name}: null")
        if isinstance(plain, GraphQLInputObjectType):
            inner = _given(field, dict(plain.fields), pools)
            good += [f"{name}: {{{text}}}" for text in ("", *inner.good)]
            bad += [f"{name}: {{{text}}}" for text in inner.bad]
            continue
        is_list = is_list_type(plain)
        pool = pools.of(field, name, plain.of_type if is_list else argument.type)
        values = [*pool.good[:_MOST_GOOD], *pool.good[-1:]]
        good += [f"{name}: {literal(plain, [one] if is_list else one)}" for one in values]
        bad += [f"{name}: {literal(plain, [one] if is_list else one)}" for one in pool.bad]
        if is_list:
            good += [f"{name}: []", f"{name}: {literal(plain, values)}"]
    return Pool(good, bad)
