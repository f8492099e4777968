"""How the fields of a type are read in SQL: the table that stands beside each type of the schema.

A field that is named as a column of its type's table needs no rule: the column is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Table

from opsin.core.pages import Listing, Wanted


class NotCompiled(Exception):
    """No rule says how to read this in SQL; its root goes through the resolvers."""


class Unusual(Exception):
    """A compiled read has met what it cannot show; resolvers can, or tell the error."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The one row of another type that a column names."""

    column: str
    type: str


@dataclass(frozen=True, slots=True)
class Children:
    """A connection: the rows whose parent column, if there is one, names this row.

    `wanted` gets the context and the field's arguments.
    """

    listing: Listing[Any]
    type: str
    wanted: Callable[..., Wanted]


@dataclass(frozen=True, slots=True)
class Items:
    """A short list: the first rows whose parent column names this row, by id."""

    listing: Listing[Any]
    type: str
    most: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A JSON object: the keys and the JSON values of the rows whose `parent` names this row."""

    table: Table
    parent: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Beside:
    """An input of Computed that lies in another table: of the first row, by `order`, that matches.

    Of several columns it is a list.  `match` has that table's columns, and this row's that they
    equal; without a row it is None.
    `only_for` names fields below of which one must be asked for; else it is not read, but False.
    """

    table: Table
    column: str | tuple[str, ...]
    match: Mapping[str, str]
    order: str
    only_for: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """An input of Computed: each value of a column of another table, and how many rows have it.

    A list of pairs, by value; `match` as for Beside.
    """

    table: Table
    column: str
    match: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Computed:
    """What only Python can tell.

    `compute` gets the context, the inputs (columns of this row) and the field's arguments; what it
    gives is shown as the ordinary resolver's value would be.  It may be a coroutine function: those
    of an answer are awaited together, after the statement.
    """

    inputs: tuple[str | Beside | Counted, ...]
    compute: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class One:
    """A root: the caller's row of a type whose column equals the argument, made fit by `value`.

    An argument `deleted` says whether it may be one that was softly deleted.
    """

    type: str
    argument: str = "id"
    column: str = "id"
    value: Callable[[str], str | None] = str


@dataclass(frozen=True, slots=True)
class AnyOne:
    """A root: the caller's row, of whatever type, with the id in the argument."""

    argument: str = "id"


@dataclass(frozen=True, slots=True)
class LogEnd:
    """A root: where the caller's part of the event log ends, read before every other root."""


Rule: TypeAlias = Parent | Children | Items | Entries | Computed | One | AnyOne | LogEnd


@dataclass(frozen=True, slots=True)
class Reads:
    """One type: the table of its rows, and the rules of the fields that are no columns."""

    table: Table
    fields: Mapping[str, Rule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """All types that can be read in SQL, by name, and the roots of the query."""

    types: Mapping[str, Reads]
    roots: Mapping[str, Rule]
