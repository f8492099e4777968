"""Queries generated from a schema: valid documents with all that GraphQL lets a reader say."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
)
from hypothesis import strategies as st

from opsin.graphql.results import RESULT_UNION
from tests.graphql.differential.argument_values import Arguments, Draws
from tests.graphql.differential.pools import Pools

Composite: TypeAlias = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
_SHARED_ALIASES = ("a", "b", "id", "name", "nodes", "result")
"""Names that several fields may have, so that selections meet and names mislead."""
_CONDITIONS = (("include",), ("skip",), ("include", "skip"), ("skip", "include"))
_MOST_FIELDS = 45
_DEEPEST = 9


@dataclass(frozen=True, slots=True)
class Document:
    """A query with its variables."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    """The types of the variables."""
    has_mistake: bool = False
    """Whether it gives an argument that is refused, if anything comes to be asked with it."""

    def varied(self) -> "Document":
        """The same text with other values: Booleans turned, values of one type exchanged."""
        values = dict(self.variables)
        for kind in set(self.kinds.values()):
            names = [name for name in values if self.kinds[name] == kind]
            turned = [values[name] for name in names[1:] + names[:1]]
            for name, value in zip(names, turned, strict=True):
                values[name] = not values[name] if kind.startswith("Boolean") else value
        return replace(self, variables=values)


_ABSTRACT = frozenset({"Node", RESULT_UNION})


@dataclass(slots=True)
class _Answer:
    """What has one name in the answer: fields of that name must agree wherever they meet."""

    shape: str
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The field and its arguments, by the type it was selected on."""
    scope: "_Scope" = field(default_factory=lambda: _Scope())

    def agrees(self, parent: Composite, shape: str, chosen: tuple[str, str]) -> bool:
        if shape != self.shape:
            return False
        # An object is never of two object types; of an interface or a union it may be besides.
        apart = isinstance(parent, GraphQLObjectType)
        return all(
            chosen == known or (apart and name != parent.name and name not in _ABSTRACT)
            for name, known in self.fields.items()
        )


@dataclass(slots=True)
class _Scope:
    """Selections that are merged into one object of the answer."""

    answers: dict[str, _Answer] = field(default_factory=dict)


class _Writer:
    def __init__(
        self, draw: st.DrawFn, schema: GraphQLSchema, pools: Pools, roots: Sequence[str]
    ) -> None:
        self._draws = Draws(draw)
        self._arguments = Arguments(self._draws, pools)
        self._schema = schema
        self._roots = roots
        self._left = _MOST_FIELDS
        self._fragments: list[str] = []
        self._finished: list[tuple[str, Composite]] = []

    def document(self) -> Document:
        query = self._schema.query_type
        assert query is not None
        body = self._selections(query, _Scope(), 0)
        arguments = self._arguments
        given = f"({', '.join(arguments.definitions)})" if arguments.definitions else ""
        several = self._draws.chance(12)
        name = "Main" if several or given or self._draws.chance(3) else ""
        parts = [f"query {name}{given} {body}" if name else body, *self._fragments]
        if several:
            parts.insert(self._draws.below(2), "query Other { __typename }")
        operation = name if several else None
        return Document(
            "\n".join(parts),
            arguments.values,
            operation,
            arguments.kinds,
            arguments.has_mistake,
        )

    def _selections(self, kind: Composite, scope: _Scope, depth: int, mark: str = "") -> str:
        count = 1 + self._draws.below(6 if depth else 3)
        if isinstance(kind, GraphQLUnionType | GraphQLInterfaceType):
            count += 2
        chosen = [self._selection(kind, scope, depth, mark) for _ in range(count)]
        return f"{{ {' '.join(chosen)} }}"

    def _selection(self, kind: Composite, scope: _Scope, depth: int, mark: str) -> str:
        is_abstract = not isinstance(kind, GraphQLObjectType)
        if depth < _DEEPEST and self._draws.chance(2 if is_abstract else 8):
            return self._fragment(kind, scope, depth, mark)
        if isinstance(kind, GraphQLUnionType) or self._draws.chance(10):
            return self._typename(kind, scope, mark)
        return self._field(kind, scope, depth, mark)

    def _typename(self, kind: Composite, scope: _Scope, mark: str) -> str:
        name = self._answer_name(kind, scope, "__typename", "", "String!", mark)[0]
        return f"{name}{self._directives()}"

    def _fragment(self, kind: Composite, scope: _Scope, depth: int, mark: str) -> str:
        """An inline fragment, a named one of its own, or one that other places spread as well."""
        condition = self._draws.pick(self._conditions(kind))
        way = self._draws.below(4)
        if way == 3:
            known = [name for name, on in self._finished if self._overlap(kind, on)]
            if known and self._draws.chance(2):
                return f"...{self._draws.pick(known)}{self._directives()}"
            on = condition or kind
            name = self._draws.name("Shared")
            body = self._selections(on, _Scope(), depth, mark=f"{name}_")
            self._fragments.append(f"fragment {name} on {on.name} {body}")
            self._finished.append((name, on))
            return f"...{name}{self._directives()}"
        on = condition or kind
        body = self._selections(on, scope, depth, mark)
        if way == 2:
            name = self._draws.name("Once")
            self._fragments.append(f"fragment {name} on {on.name} {body}")
            return f"...{name}{self._directives()}"
        typed = f" on {condition.name}" if condition else ""
        return f"...{typed}{self._directives()} {body}"

    def _conditions(self, kind: Composite) -> list[Composite | None]:
        """Types that a fragment on this one may be limited to; None for no condition."""
        if isinstance(kind, GraphQLObjectType):
            unions = [
                one
                for one in self._schema.type_map.values()
                if isinstance(one, GraphQLUnionType) and kind in one.types
            ]
            return [None, kind, *kind.interfaces, *unions]
        return [*self._schema.get_possible_types(kind), kind, None]

    def _overlap(self, one: Composite, other: Composite) -> bool:
        return not self._objects(one).isdisjoint(self._objects(other))

    def _objects(self, kind: Composite) -> set[str]:
        if isinstance(kind, GraphQLObjectType):
            return {kind.name}
        return {one.name for one in self._schema.get_possible_types(kind)}

    def _field(
        self, kind: GraphQLObjectType | GraphQLInterfaceType, scope: _Scope, depth: int, mark: str
    ) -> str:
        self._left -= 1
        fields = kind.fields
        if depth == 0:
            names = list(self._roots)
        else:
            names = [
                name
                for name, one in fields.items()
                if (self._left > 0 and depth < _DEEPEST) or not _is_composite(one)
            ] or ["__typename"]
            # Objects are what nests: as likely as all the columns together.
            nested = [name for name in names if _is_composite(fields.get(name))]
            if nested and self._draws.chance(2):
                names = nested
        name = self._draws.pick(names)
        if name == "__typename":
            return self._typename(kind, scope, mark)
        chosen = fields[name]
        arguments = self._arguments.of(name, chosen)
        written, inner = self._answer_name(kind, scope, name, arguments, str(chosen.type), mark)
        body = ""
        if is_composite_type(of := get_named_type(chosen.type)):
            body = " " + self._selections(of, inner, depth + 1)
        return f"{written}{arguments}{self._directives()}{body}"

    def _answer_name(
        self, kind: Composite, scope: _Scope, name: str, arguments: str, shape: str, mark: str
    ) -> tuple[str, _Scope]:
        """How the field is written up to its arguments, and where its selections are merged."""
        answer = name
        if mark:
            answer = f"{mark}{name}"
        elif self._draws.chance(6):
            answer = self._draws.pick(_SHARED_ALIASES)
        known = scope.answers.get(answer)
        if known is not None and not known.agrees(kind, shape, (name, arguments)):
            answer = self._draws.name("x")
            known = None
        if known is None:
            known = scope.answers.setdefault(answer, _Answer(shape))
        known.fields[kind.name] = (name, arguments)
        return (name if answer == name else f"{answer}: {name}"), known.scope

    def _directives(self) -> str:
        if not self._draws.chance(8):
            return ""
        shown = not self._draws.chance(3)
        names = self._draws.pick(
            (("include",), ("skip",), ("include", "skip"), ("skip", "include"))
        )
        given = [(name, self._condition(shown == (name == "include"))) for name in names]
        return "".join(f" @{name}(if: {condition})" for name, condition in given)

    def _condition(self, value: bool) -> str:
        if self._draws.chance(2):
            return json.dumps(value)
        return self._arguments.variable(GraphQLNonNull(GraphQLBoolean), value, False)


def documents(
    schema: GraphQLSchema, pools: Pools, roots: Sequence[str]
) -> st.SearchStrategy[Document]:
    """Valid documents for these roots of the schema; a root may be in the sequence repeatedly."""

    def write(draw: st.DrawFn) -> Document:
        return _Writer(draw, schema, pools, roots).document()

    strategy: Callable[[], st.SearchStrategy[Document]] = st.composite(write)
    return strategy()


def _is_composite(one: GraphQLField | None) -> bool:
    return one is not None and is_composite_type(get_named_type(one.type))
