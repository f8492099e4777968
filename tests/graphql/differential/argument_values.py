"""Arguments of generated queries: their values, written out or given by variables."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    Undefined,
    get_nullable_type,
    is_required_argument,
)
from hypothesis import strategies as st

from tests.graphql.differential.pools import Pools

T = TypeVar("T")


class Draws:
    """Choices of hypothesis; each shrinks to the first."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._names = 0

    def below(self, bound: int) -> int:
        return self._draw(st.integers(0, bound - 1))

    def chance(self, of: int) -> bool:
        """True once in so many times; shrinks to False."""
        return self.below(of) == of - 1

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def name(self, start: str) -> str:
        """A name that nothing else has."""
        self._names += 1
        return f"{start}{self._names}"


class Arguments:
    """Writes arguments, and keeps the variables that they need."""

    def __init__(self, draws: Draws, pools: Pools) -> None:
        self._draws = draws
        self._pools = pools
        self.definitions: list[str] = []
        self.values: dict[str, Any] = {}
        self.kinds: dict[str, str] = {}
        # Most documents are without fault: one error can leave nothing else in an answer.
        self._mistakes = int(draws.chance(4))
        self.has_mistake = False

    def of(self, name: str, chosen: GraphQLField) -> str:
        order: str | None = None
        given = []
        # The order first, for it says which cursors there are.
        for argument, kind in sorted(chosen.args.items(), key=lambda one: one[0] != "orderBy"):
            if not (is_required_argument(kind) or self._draws.chance(4)):
                continue
            value = self._value(name, argument, kind.type, order)
            order = value if argument == "orderBy" else order
            has_default = kind.default_value is not Undefined
            given.append(f"{argument}: {self._written(kind.type, value, has_default)}")
        return f"({', '.join(given)})" if given else ""

    def _value(
        self, name: str, argument: str, kind: GraphQLInputType, order: str | None = None
    ) -> Any:
        """A value as JSON has it; enums are their names."""
        if not isinstance(kind, GraphQLNonNull) and self._draws.chance(8):
            return None
        plain = get_nullable_type(kind)
        if isinstance(plain, GraphQLInputObjectType):
            return {
                member: self._value(name, member, one.type)
                for member, one in plain.fields.items()
                if self._draws.chance(4)
            }
        if isinstance(plain, GraphQLList):
            if self._draws.chance(6):  # one value stands for a list of one
                return self._value(name, argument, GraphQLNonNull(get_nullable_type(plain.of_type)))
            return [self._value(name, argument, plain.of_type) for _ in range(self._draws.below(4))]
        pool = self._pools.of(name, argument, kind, order)
        return self._draws.pick(pool.bad if pool.bad and self._errs(4) else pool.good)

    def _errs(self, of: int) -> bool:
        """Whether to make the document's one mistake here: of two, either may be told first."""
        if not self._mistakes or not self._draws.chance(of):
            return False
        self._mistakes -= 1
        self.has_mistake = True
        return True

    def _written(self, kind: GraphQLInputType, value: Any, has_default: bool) -> str:
        """The value as a document has it, parts of it perhaps as variables."""
        if self._draws.chance(4):
            return self.variable(kind, value, has_default)
        plain = get_nullable_type(kind)
        if isinstance(value, list) and isinstance(plain, GraphQLList):
            return f"[{', '.join(self._written(plain.of_type, one, False) for one in value)}]"
        if isinstance(value, dict) and isinstance(plain, GraphQLInputObjectType):
            members = (
                f"{name}: {self._member(plain.fields[name], one)}" for name, one in value.items()
            )
            return f"{{{', '.join(members)}}}"
        return literal(kind, value)

    def _member(self, kind: GraphQLInputField, value: Any) -> str:
        return self._written(kind.type, value, kind.default_value is not Undefined)

    def variable(self, kind: GraphQLInputType, value: Any, has_default: bool) -> str:
        """A variable that has the value, or whose default is the value, or that is not given."""
        name = self._draws.name("v")
        self.kinds[name] = str(kind)
        is_required = isinstance(kind, GraphQLNonNull)
        # Where a place has a default, a variable that may be null may stand there as well.
        looser = get_nullable_type(kind) if is_required and has_default else kind
        way = self._draws.below(6)
        if way == 5 and value is not None:
            self.definitions.append(f"${name}: {get_nullable_type(kind)} = {literal(kind, value)}")
            if self._draws.chance(3):
                self.values[name] = value
        elif way == 4 and not isinstance(looser, GraphQLNonNull):
            self.definitions.append(f"${name}: {looser}")
            if self._errs(2):
                self.values[name] = None
        else:
            self.definitions.append(f"${name}: {kind}")
            self.values[name] = value
        return f"${name}"


def literal(kind: GraphQLInputType, value: Any) -> str:
    """A value as a document has it."""
    plain: Any = get_nullable_type(kind)
    if value is None:
        return "null"
    if isinstance(value, dict):
        members = (f"{name}: {literal(plain.fields[name].type, v)}" for name, v in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(literal(plain.of_type, one) for one in value)}]"
    if isinstance(plain, GraphQLList):
        return literal(plain.of_type, value)
    if isinstance(plain, GraphQLEnumType):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
