"""A text within another, whatever their case: the same on every database, in every language.

`lower` of a database knows the letters of its locale, SQLite's only those of ASCII.  So each letter
is looked for in all its forms, which is worked out here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, Dialect, Text, TypeDecorator, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from opsin.storage.json_text import dump_json, load_json

CARRIES = "opsin_carries"
"""The name of `carries` in SQLite, where connections are given it."""

_GLOB_SIGNS = "*?["
_REGEX_SIGNS = "\\.[]{}()*+?^$|"
_LONGEST_PATTERN = 32
"""Characters that a pattern may have in a large text.  For each place of the text GLOB and `re` may
look at all of the pattern, and `re` lets nothing else of the process run meanwhile."""
_SIGN = re.compile(r"\[([^]]+)\]|\\?(.)", re.DOTALL)
_PLAIN_RUN = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Substring:
    """What is looked for; `%`, `_`, `*` and all other characters stand for themselves."""

    text: str

    @property
    def glob(self) -> str:
        """The pattern of SQLite's GLOB for texts that contain it."""
        return f"*{_pattern(self.text, _literal_in_glob)}*"

    @property
    def regex(self) -> str:
        """The regular expression, PostgreSQL's or Python's, that is found in such texts."""
        return _pattern(self.text, _literal_in_regex)

    def part_in_json(self) -> "Substring":
        """The longest part of it that any JSON text of a text with it shows unchanged."""
        run = max(_PLAIN_RUN.findall(self.text), key=len, default="")
        return Substring(run[:_LONGEST_PATTERN])


def _pattern(text: str, escape: Callable[[str], str]) -> str:
    return "".join(_any_form(one) or escape(one) for one in text)


def _literal_in_glob(character: str) -> str:
    return f"[{character}]" if character in _GLOB_SIGNS else character


def _literal_in_regex(character: str) -> str:
    return f"\\{character}" if character in _REGEX_SIGNS else character


@lru_cache(maxsize=4096)
def _any_form(character: str) -> str:
    """A class of the forms of a letter; empty for what has only one."""
    forms = {character, character.lower(), character.upper(), character.title()}
    forms |= {form.lower() for form in forms} | {form.upper() for form in forms}
    single = sorted(form for form in forms if len(form) == 1)
    return f"[{''.join(single)}]" if len(single) > 1 else ""


@lru_cache(maxsize=256)
def _finder(regex: str) -> Callable[[str], bool]:
    """Whether a text has what a `Substring.regex` describes."""
    signs = [found[1] or found[2] for found in _SIGN.finditer(regex)]
    if len(signs) > _LONGEST_PATTERN:
        return partial(_has, _places(signs), 1 << len(signs) - 1)
    search = re.compile(regex).search
    return lambda text: search(text) is not None


def _places(signs: Sequence[str]) -> Mapping[str, int]:
    """For each character a bit for each place of the pattern where it may stand."""
    places: dict[str, int] = {}
    for place, forms in enumerate(signs):
        for form in forms:
            places[form] = places.get(form, 0) | 1 << place
    return places


def _has(places: Mapping[str, int], last: int, text: str) -> bool:
    """Each character is looked at once, with all beginnings of the pattern that end there."""
    ending = 0
    for character in text:
        ending = (ending << 1 | 1) & places.get(character, 0)
        if ending & last:
            return True
    return False


def carries(document: str, key: str | None, regex: str) -> bool:
    """Whether a value of a JSON object, that of the key if one is given, has the text.

    Values that are no texts are looked at as the JSON they are stored as.
    """
    try:
        value = load_json(document)
    except ValueError:  # one damaged row must not fail every search
        return False
    if not isinstance(value, dict) or (key is not None and key not in value):
        return False
    looked_at = value.values() if key is None else [value[key]]
    found = _finder(regex)
    return any(found(one if isinstance(one, str) else dump_json(one)) for one in looked_at)


class _Pattern(TypeDecorator[Substring]):
    """A Substring as its database looks for it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Substring | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.glob if dialect.name == "sqlite" else value.regex


class _Contains(FunctionElement[bool]):
    """A column and the Substring that it must have."""

    type = Boolean()
    inherit_cache = True


class _Carries(FunctionElement[bool]):
    """A column of JSON objects, the Substring of the whole text, a key or NULL, and a regex."""

    type = Boolean()
    inherit_cache = True


def column_contains(column: Column[Any], wanted: Substring) -> ColumnElement[bool]:
    """SQL: the text of the column has it; NULL has nothing."""
    return _Contains(column, literal(wanted, _Pattern()))


def column_carries(column: Column[Any], key: str | None, wanted: Substring) -> ColumnElement[bool]:
    """SQL: as `carries` does."""
    whole = literal(wanted.part_in_json(), _Pattern())
    return _Carries(column, whole, literal(key, Text()), literal(wanted.regex, Text()))


@compiles(_Contains, "sqlite")
def _contains_on_sqlite(element: _Contains, compiler: Any, **options: Any) -> str:
    column, pattern = (compiler.process(one, **options) for one in element.clauses)
    return sqlite_contains(column, pattern)


@compiles(_Contains, "postgresql")
def _contains_on_postgresql(element: _Contains, compiler: Any, **options: Any) -> str:
    column, pattern = (compiler.process(one, **options) for one in element.clauses)
    return postgresql_contains(column, pattern)


@compiles(_Carries, "sqlite")
def _carries_on_sqlite(element: _Carries, compiler: Any, **options: Any) -> str:
    return sqlite_carries(*(compiler.process(one, **options) for one in element.clauses))


@compiles(_Carries, "postgresql")
def _carries_on_postgresql(element: _Carries, compiler: Any, **options: Any) -> str:
    return postgresql_carries(*(compiler.process(one, **options) for one in element.clauses))


def sqlite_contains(column: str, pattern: str) -> str:
    return f"{column} GLOB {pattern}"


def postgresql_contains(column: str, pattern: str) -> str:
    return f"{column} ~ {pattern}"


def sqlite_carries(column: str, whole: str, key: str, regex: str) -> str:
    # Most rows end at the first, which needs no Python.
    return f"CASE WHEN {column} GLOB {whole} THEN {CARRIES}({column},{key},{regex}) ELSE 0 END"


def postgresql_carries(column: str, whole: str, key: str, regex: str) -> str:
    key = f"CAST({key} AS text)"
    values = (
        f"SELECT 1 FROM json_each_text({column}) v WHERE (v.key={key})"
        f" IS NOT FALSE AND coalesce(v.value,'null') ~ {regex}"
    )
    looked = f"CAST({column} AS text) ~ {whole} AND json_typeof({column})='object'"
    return f"(CASE WHEN {looked} THEN EXISTS ({values}) ELSE false END)"
