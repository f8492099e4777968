"""What a generated query may give for an argument: values of the rows, and values of no row."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputType,
    get_nullable_type,
)

from opsin.core.conditions import LONGEST_SUBSTRING
from opsin.storage import tables
from tests.graphql.differential.odd_values import ZONES
from tests.graphql.differential.rows import Row, moments_of

NO_SUCH_ID = "01890000-0000-7000-8000-00000000ffff"
NO_IDS: tuple[Any, ...] = ("", "x", 5, NO_SUCH_ID, "'; DROP TABLE images; --", "\U0001f40b")
_UNSEARCHABLE = ("\x00", "nobody's", "x" * (LONGEST_SUBSTRING + 1))
_NO_CURSORS = ("", "x", "W10", "\x00", "bnVsbA", "\U0001f40b")
_MAX_PAGE = 100
_COLUMNS = {
    "key": ("collections", "key"),
    "label": ("collection_members", "label"),
    "sourceKey": ("collection_members", "source_key"),
    "sha256": ("images", "sha256"),
    "name": ("datasets", "name"),
    "operation": ("analyses", "operation"),
    "modelName": ("analyses", "model_name"),
    "modelVersion": ("analyses", "model_version"),
    "annotationType": ("annotations", "annotation_type"),
    "className": ("annotations", "class_name"),
    "side": ("images", "side"),
    "light": ("images", "light"),
    "sex": ("subjects", "sex"),
}
"""Where the values lie that an argument of this name is compared with."""
_PARENTS = {"datasetId": "datasets", "imageId": "images", "subjectId": "subjects",
            "batchId": "batches", "classId": "image_classes", "runId": "application_runs",
            "applicationId": "applications"}  # fmt: skip
_WITHIN = {
    "nameContains": ("datasets", "name"),
    "filenameContains": ("images", "filename"),
    "contentType": ("images", "content_type"),
    "uploadedBy": ("images", "uploaded_by"),
}
"""Where the values lie that have the value of an argument within them."""
_SIGNS = (
    "",
    "%",
    "_",
    "*",
    "[a]",
    "?",
    "\\",
    ".*",
    "^",
    "markof",
    "MARKOF",
    "\u00c9",
    "\U0001f40b",
)
"""Texts that stand for something else in one pattern or another; letters in another case."""
_IN_METADATA = (
    "null",
    "true",
    "[",
    "{",
    "TEXTS",
    "0.3",
    "1e22",
    "-0.0",
    "10000000000000000",
    '\\"',
)
_ROOTS = {"dataset": "datasets", "image": "images", "analysis": "analyses",
          "subject": "subjects", "batch": "batches", "run": "application_runs"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pool:
    """Values for one argument: those that find something, and those that find or do nothing."""

    good: Sequence[Any]
    bad: Sequence[Any] = ()


class Pools:
    """Values by the name and type of an argument, from the rows and from cursors by their order."""

    def __init__(
        self, made: Sequence[Mapping[str, list[Row]]], cursors: Mapping[str, Sequence[str]]
    ) -> None:
        self._made = made
        self._cursors = cursors
        self._moments = sorted(set().union(*(moments_of(one) for one in made)))

    def of(self, field: str, name: str, kind: GraphQLInputType, order: str | None = None) -> Pool:
        """What the argument `name`, or the member of a filter, of `field` may be.

        A cursor is one of a list in this `order`, by default that of the field.
        """
        plain = get_nullable_type(kind)
        if isinstance(plain, GraphQLEnumType):
            return Pool(list(plain.values))
        scalar = getattr(plain, "name", "")
        if scalar == "ID":
            return self._ids(field, name)
        if scalar == "DateTime":
            return Pool([self._written(m) for m in self._moments], ["yesterday", "2026-01-31"])
        if name == "after":
            newest_first = field in ("auditLog", "classifiers", "deletions")
            fitting = order or ("CREATED_DESC" if newest_first else "CREATED_ASC")
            others = [c for kind, found in self._cursors.items() if kind != fitting for c in found]
            return Pool(self._cursors[fitting], [*_NO_CURSORS, others[0], others[-1]])
        if name == "first":
            return Pool([2, 1, 3, 0, 7, _MAX_PAGE, 50], [-1, _MAX_PAGE + 1, 2**31])
        if name in ("width", "height"):
            return Pool([256, 1, 2048], [0, 2049])
        if name == "windowDays":
            return Pool([14, 1, 365], [0, 366, -1])
        if name == "maxSize":
            return Pool([10, 1, 2, 100], [0, 101])
        if name in ("confidenceFrom", "confidenceTo"):
            return Pool([0, 0.1 + 0.2, 1, 5e-324, -0.0, 1e308, -1.5])
        if name in _WITHIN:
            return Pool([*self._parts(*_WITHIN[name]), *_SIGNS], _UNSEARCHABLE)
        if name == "contains":
            return Pool([*_IN_METADATA, *_SIGNS], _UNSEARCHABLE)
        if name == "key" and field in ("images", "datasets"):
            keys = {key for one in self._made for row in one["images"] for key in row["metadata"]}
            return Pool(sorted(keys), ["\x00", "nobody's"])
        if scalar == "Boolean":
            return Pool([True, False])
        if scalar == "Int":
            return Pool([0, 10, 64], [-1, 2**31])
        return Pool(self._texts(name), ["\x00", "nobody's", "' OR 1=1 --"])

    def _texts(self, name: str) -> list[str]:
        table, column = _COLUMNS.get(name, ("datasets", "name"))
        values = {row[column] for one in self._made for row in one[table]} - {None}
        # Also as somebody types it: a key is found with blanks around it.
        return [*sorted(values), f" {min(values)} "]

    def _parts(self, table: str, column: str) -> list[str]:
        """Ends of the column's values, in another case."""
        values = {row[column] for one in self._made for row in one[table]} - {None}
        return [value[-6:].swapcase() for value in sorted(values)]

    def _ids(self, field: str, name: str) -> Pool:
        table = _PARENTS.get(name) or _ROOTS.get(field)
        kinds = [table] if table else [t for t, rows in self._made[0].items() if "id" in rows[0]]
        # The kinds in turn, so that the first values are of every kind.
        columns = [[row["id"] for one in self._made for row in one[kind]] for kind in kinds]
        ids = [i for turn in itertools.zip_longest(*columns) for i in turn if i is not None]
        other = [row["id"] for row in self._made[0][tables.companies.name]]
        braces = [f"{{{ids[0].upper()}}}", ids[0].replace("-", "")]
        return Pool([*ids, *braces], [*NO_IDS, *other])

    def _written(self, moment: datetime) -> str:
        if 1 < moment.year < 9999:
            return moment.astimezone(ZONES[moment.microsecond % len(ZONES)]).isoformat()
        return moment.isoformat().replace("+00:00", "Z")
