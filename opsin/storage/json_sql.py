"""SQL that writes JSON: how each database turns a column's value into JSON text.

Text is put together with `||` and never parsed again: on PostgreSQL twice as fast as
`json_build_object`, and on SQLite the only way that keeps every digit of a number.

Two control characters stand in the text for what is no JSON.  They cannot be mistaken: JSON has
every control character of a string escaped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from opsin.storage.substring import (
    Substring,
    postgresql_carries,
    postgresql_contains,
    sqlite_carries,
    sqlite_contains,
)

UNUSUAL = "\x1d"
"""Stands where a value is none that the schema allows; the whole text is then of no use."""
HOLE = "\x1f"
"""Begins and ends a place that Python fills: a number, a colon and a JSON list of its inputs."""

_NOTHING = f"'{UNUSUAL}'"
_SMALLEST, _LARGEST = -(2**31), 2**31 - 1  # GraphQL's Int


@dataclass(frozen=True, slots=True)
class First:
    """Which rows are the first of each element: SQL of columns, of the element, and of values."""

    column: str
    """Equals the element; an index begins with it and goes on with the key."""
    element: str
    key: str
    limit: str
    descending: bool = False
    after: str | None = None
    """The key behind which they begin."""


class JsonSql(Protocol):
    """Every method takes SQL expressions and gives one; NULL becomes NULL unless it says so."""

    def identity(self, value: str) -> str:
        """An id, as a JSON string."""

    def text(self, value: str) -> str:
        """Any text, as a JSON string."""

    def text_or_null(self, value: str) -> str:
        """Any text as a JSON string, null for NULL."""

    def moment(self, value: str) -> str:
        """A time, as `datetime.isoformat(timespec="microseconds")` writes it in UTC, unquoted."""

    def day(self, value: str) -> str:
        """A date, as `date.isoformat()` writes it, unquoted."""

    def integer(self, value: str) -> str:
        """A number of GraphQL's Int; UNUSUAL beyond 32 bits."""

    def number(self, value: str) -> str:
        """A number of GraphQL's Float, to the last bit; UNUSUAL if infinite or not a number."""

    def boolean(self, value: str) -> str:
        """true or false."""

    def json(self, value: str) -> str:
        """A column of JSON, as it was stored."""

    def binary(self, value: str) -> str:
        """Bytes as a JSON string of hexadecimal digits."""

    def plain(self, value: str) -> str:
        """The value as text."""

    def answer(self, text: str) -> str:
        """A text as the driver gives bytes: nobody decodes what is only sent on."""

    def joined(self, values: str) -> str:
        """The texts of all rows, in their order, with commas between them; empty without rows."""

    def plain_order(self, value: str) -> str:
        """The text, to be compared character by character."""

    def padded(self, number: str, width: int) -> str:
        """A whole number, with zeros before it."""

    def placeholder(self, number: int) -> str:
        """The parameter of this number, from 1."""

    def unindexed(self, condition: str) -> str:
        """The condition where another one must choose the index, whatever the statistics say."""

    def among(self, value: str, parameter: str, kind: str = "text") -> str:
        """Whether the value is in a list given as one parameter; `kind` is `text` or `uuid`."""

    def has_list(self, parameter: str, kind: str = "text") -> str:
        """True: a list is given as this parameter; for statements that ask nothing of it."""

    def elements(self, parameter: str, alias: str, kind: str = "text") -> str:
        """A table, for FROM: the list given as one parameter, an element a row, as `value`."""

    def first_of_each(self, elements: str, rows: str, wanted: First) -> str:
        """A SELECT of the first keys of the rows of all elements together.

        `elements` is a table that `elements` gives, `rows` what stands behind FROM: one table, and
        what its rows must meet beside being of an element.
        """

    def contains(self, column: str, pattern: str) -> str:
        """Whether a text has the Substring that is given as a parameter; NULL has none."""

    def carries(self, column: str, whole: str, key: str, regex: str) -> str:
        """Whether a value of a JSON object has a text: `carries`, after a look for a Substring."""

    def parameter(self, value: Any) -> Any:
        """A value as the driver takes it."""


class PostgresJson:
    """PostgreSQL, through asyncpg."""

    def identity(self, value: str) -> str:
        return f"'\"'||{value}||'\"'"

    def text(self, value: str) -> str:
        return f"to_json({value})::text"

    def text_or_null(self, value: str) -> str:
        return f"coalesce(to_json({value})::text,'null')"

    def moment(self, value: str) -> str:
        return f"to_char({value} AT TIME ZONE 'UTC','YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"

    def day(self, value: str) -> str:
        return f"to_char({value},'YYYY-MM-DD')"

    def integer(self, value: str) -> str:
        return f"{value}::text"  # the column's type has 32 bits

    def number(self, value: str) -> str:
        # What is infinite or not a number is not itself minus itself nothing.
        real = f"{value}::float8"
        finite = f"{real}-{real}=0"
        return f"CASE WHEN {finite} THEN {real}::text WHEN {value} IS NOT NULL THEN {_NOTHING} END"

    def boolean(self, value: str) -> str:
        return f"{value}::text"

    def json(self, value: str) -> str:
        return f"{value}::text"

    def binary(self, value: str) -> str:
        return f"'\"'||encode({value},'hex')||'\"'"

    def plain(self, value: str) -> str:
        return f"{value}::text"

    def answer(self, text: str) -> str:
        return text  # its reader's connections take every text as bytes

    def joined(self, values: str) -> str:
        return f"coalesce(string_agg({values},','),'')"

    def plain_order(self, value: str) -> str:
        return f'{value} COLLATE "C"'

    def padded(self, number: str, width: int) -> str:
        return f"lpad({number}::text,{width},'0')"

    def placeholder(self, number: int) -> str:
        return f"${number}"

    def unindexed(self, condition: str) -> str:
        return f"({condition}) IS TRUE"

    def among(self, value: str, parameter: str, kind: str = "text") -> str:
        return f"{value}=ANY({parameter}::{kind}[])"

    def has_list(self, parameter: str, kind: str = "text") -> str:
        return f"{parameter}::{kind}[] IS NOT NULL"

    def elements(self, parameter: str, alias: str, kind: str = "text") -> str:
        return f"unnest({parameter}::{kind}[]) {alias}(value)"

    def first_of_each(self, elements: str, rows: str, wanted: First) -> str:
        end, least, most = (" DESC", "<", ">=") if wanted.descending else ("", ">", "<=")
        # Equal to the element, but not said so: else each index in the order of the key would do,
        # and it may look cheap to walk one with the rows of all elements.
        column, element, key = wanted.column, wanted.element, wanted.key
        after = f"{column}{least}={element}"
        if wanted.after is not None:
            after = f"({column},{key}){least}({element},{wanted.after})"
        order = f"{column}{end},{key}{end}"
        ranged = f"{rows} AND {after} AND {column}{most}{element}"
        first = f"SELECT {key} AS id FROM {ranged} ORDER BY {order} LIMIT {wanted.limit}"
        each = f"{elements} CROSS JOIN LATERAL ({first}) f"
        return f"SELECT f.id FROM {each} ORDER BY f.id{end} LIMIT {wanted.limit}"

    def contains(self, column: str, pattern: str) -> str:
        return postgresql_contains(column, pattern)

    def carries(self, column: str, whole: str, key: str, regex: str) -> str:
        return postgresql_carries(column, whole, key, regex)

    def parameter(self, value: Any) -> Any:
        return value.regex if isinstance(value, Substring) else value


class SqliteJson:
    """SQLite, through the standard library."""

    def identity(self, value: str) -> str:
        return f"'\"'||{value}||'\"'"

    def text(self, value: str) -> str:
        return f"nullif(json_quote({value}),'null')"  # a text is quoted, also that one

    def text_or_null(self, value: str) -> str:
        return f"json_quote({value})"

    def moment(self, value: str) -> str:
        # Stored as 2026-01-31 12:00:00.000000, in UTC.
        return f"replace({value},' ','T')||'+00:00'"

    def day(self, value: str) -> str:
        return value  # stored as it is written

    def integer(self, value: str) -> str:
        # No column of SQLite's is kept to its type.
        within = f"typeof({value})='integer' AND {value} BETWEEN {_SMALLEST} AND {_LARGEST}"
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN {within} THEN {value} ELSE {_NOTHING} END"

    def number(self, value: str) -> str:
        # 17 digits tell every number from every other; SQLite's own JSON has 15.
        finite = f"abs({value})<=1.7976931348623157e308"
        digits = f"printf('%!.17g',{value})"
        return f"CASE WHEN {finite} THEN {digits} WHEN {value} IS NOT NULL THEN {_NOTHING} END"

    def boolean(self, value: str) -> str:
        return f"CASE {value} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"

    def json(self, value: str) -> str:
        return value

    def binary(self, value: str) -> str:
        return f"'\"'||hex({value})||'\"'"

    def plain(self, value: str) -> str:
        return value

    def answer(self, text: str) -> str:
        return f"CAST({text} AS BLOB)"

    def joined(self, values: str) -> str:
        return f"coalesce(group_concat({values},','),'')"

    def plain_order(self, value: str) -> str:
        return value

    def padded(self, number: str, width: int) -> str:
        return f"printf('%0{width}d',{number})"

    def placeholder(self, number: int) -> str:
        return f"?{number}"

    def unindexed(self, condition: str) -> str:
        return f"+({condition})"

    def among(self, value: str, parameter: str, kind: str = "text") -> str:
        return f"{value} IN (SELECT value FROM json_each({parameter}))"

    def has_list(self, parameter: str, kind: str = "text") -> str:
        return f"{parameter} IS NOT NULL"

    def elements(self, parameter: str, alias: str, kind: str = "text") -> str:
        return f"json_each({parameter}) {alias}"

    def first_of_each(self, elements: str, rows: str, wanted: First) -> str:
        # It has no LATERAL: how far each element's rows are needed is looked up beforehand.
        end, beyond, within, none = (
            (" DESC", "<", ">=", "''") if wanted.descending else ("", ">", "<=", "'~'")
        )
        key, limit = wanted.key, wanted.limit
        rows = f"{rows} AND {wanted.column}={wanted.element}"
        if wanted.after is not None:
            rows = f"{rows} AND {key}{beyond}{wanted.after}"
        last = f"SELECT {key} FROM {rows} ORDER BY {key}{end} LIMIT 1 OFFSET {limit}-1"
        every = f"{elements} CROSS JOIN {rows} AND {key}{within}coalesce(({last}),{none})"
        return f"SELECT {key} FROM {every} ORDER BY {key}{end} LIMIT {limit}"

    def contains(self, column: str, pattern: str) -> str:
        return sqlite_contains(column, pattern)

    def carries(self, column: str, whole: str, key: str, regex: str) -> str:
        return sqlite_carries(column, whole, key, regex)

    def parameter(self, value: Any) -> Any:
        if isinstance(value, Substring):
            return value.glob
        if isinstance(value, datetime):
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        return orjson.dumps(value).decode() if isinstance(value, list) else value


def literal(text: str) -> str:
    """The text as SQL; for names and punctuation of ours, never for what a caller gives."""
    return "'" + text.replace("'", "''") + "'"


def braced(members: Sequence[tuple[str, str]]) -> str:
    """An object of these keys, which are names, and of the JSON of these expressions."""
    if not members:
        return "'{}'"
    parts = [
        f"{literal(('{' if n == 0 else ',') + _key(key))}||{text}"
        for n, (key, text) in enumerate(members)
    ]
    return "||".join([*parts, "'}'"])


def _key(name: str) -> str:
    return f'"{name}":'
