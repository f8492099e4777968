"""The statements of an export: which rows, in which order, each as one text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.core.exports.columns import (
    ANALYSIS,
    ANNOTATION,
    COCO_IMAGE,
    DATASET,
    IMAGE,
    NAMED_OWNER,
    OWNED,
    OWNER,
    Columns,
)
from opsin.core.exports.request import ExportFilter, ExportFormat, Target, TargetKind
from opsin.storage.json_sql import JsonSql, PostgresJson

Statement = tuple[str, list[Any]]
"""SQL and its parameters."""

# What a spreadsheet would take for a formula, and compute.
_FORMULA = "'=','+','-','@','\t','\r'"


@dataclass(slots=True)
class Selection:
    """Makes the statements for one target and filter; every row is of the target's company."""

    sql: JsonSql
    target: Target
    filter: ExportFilter
    _parameters: list[Any] = field(default_factory=list)

    def datasets(self) -> Statement:
        """The dataset itself, as the inside of a JSON object."""
        return self._made("datasets d", ("d",), [self._json_inside(DATASET)], [], ["d.id"])

    def images(self) -> Statement:
        """Image id, and the inside of a JSON object; also images without analyses."""
        columns = [self._plain("i.id"), self._json_inside(IMAGE)]
        return self._made(self._images(), ("i",), columns, [], ["i.id"])

    def coco_images(self) -> Statement:
        """Image id, and the COCO image's fields but for its number."""
        selected = [self._plain("i.id"), self._json_inside(COCO_IMAGE)]
        return self._made(self._images(), ("i",), selected, [], ["i.id"])

    def analyses(self) -> Statement:
        """Image id, analysis id, and the inside of a JSON object, by image, then by analysis."""
        columns = [self._plain("i.id"), self._plain("s.id"), self._json_inside(ANALYSIS)]
        tables = "images i JOIN analyses s ON s.image_id = i.id"
        return self._made(tables, ("i", "s"), columns, self._of_analyses(), ["i.id", "s.id"])

    def annotations(self) -> Statement:
        """Analysis id and a JSON object, by image, analysis and insertion."""
        inside = self._json_inside(ANNOTATION)
        return self._annotations([self._plain("s.id"), f"'{{'||{inside}||'}}'"])

    def owners(self, form: ExportFormat) -> Statement:
        """Analysis id, and the beginning of the JSON object or row of CSV of each annotation."""
        json = form is ExportFormat.NDJSON
        text = f"'{{'||{self._json_inside(NAMED_OWNER)}" if json else self._cells(OWNER)
        tables = "images i JOIN analyses s ON s.image_id = i.id"
        columns = [self._plain("s.id"), text]
        return self._made(tables, ("i", "s"), columns, self._of_analyses(), ["i.id", "s.id"])

    def owned(self, form: ExportFormat) -> Statement:
        """Analysis id, and the end of each annotation's object or row, with its line break."""
        if form is ExportFormat.NDJSON:
            text = f"','||{self._json_inside(OWNED)}||'}}'||{self._characters(10)}"
        else:
            text = f"','||{self._cells(OWNED)}||{self._characters(13, 10)}"
        return self._annotations([self._plain("s.id"), text])

    def shapes(self) -> Statement:
        """What COCO needs of each annotation."""
        named = ("i.width", "i.height", "a.annotation_type", "a.class_name", "a.confidence")
        ids = [self._plain(name) for name in ("i.id", "s.id", "a.id")]
        return self._annotations([*ids, *named, self.sql.json("a.data")])

    def _images(self) -> str:
        if self.target.kind is TargetKind.ANALYSIS:
            return "images i JOIN analyses s ON s.image_id = i.id"
        return "images i"

    def _annotations(self, columns: list[str]) -> Statement:
        tables = (
            "images i JOIN analyses s ON s.image_id = i.id JOIN annotations a"
            " ON a.analysis_id = s.id"
        )
        conditions = [*self._of_analyses(), *self._of_annotations()]
        return self._made(tables, ("i", "s", "a"), columns, conditions, ["i.id", "s.id", "a.id"])

    def _made(
        self,
        tables: str,
        aliases: Sequence[str],
        columns: list[str],
        conditions: list[str],
        order: list[str],
    ) -> Statement:
        company = self._parameter(self.target.company_id)
        identity = self._parameter(self.target.id)
        own = {
            TargetKind.DATASET: "d.id" if aliases == ("d",) else "i.dataset_id",
            TargetKind.IMAGE: "i.id",
            TargetKind.ANALYSIS: "s.id",
        }[self.target.kind]
        where = [self._of_company(alias, company) for alias in aliases]
        where = [*where, f"{own} = {identity}", *conditions]
        if "i" in aliases and self.target.kind is TargetKind.DATASET:
            where.append("i.deleted_at IS NULL")
        statement = (
            f"SELECT {', '.join(columns)} FROM {tables}"
            f" WHERE {' AND '.join(where)} ORDER BY {', '.join(order)}"
        )
        parameters, self._parameters = self._parameters, []
        return statement, parameters

    def _of_company(self, alias: str, company: str) -> str:
        """A check of rows that another index finds: the company's would be walked as a whole."""
        if isinstance(self.sql, PostgresJson):
            return f"{alias}.company_id IS NOT DISTINCT FROM {company}"
        return f"+{alias}.company_id = {company}"

    def _of_analyses(self) -> list[str]:
        wanted = self.filter
        status = None if wanted.status is None else [status.value for status in wanted.status]
        return [
            *self._compared("s.operation = {}", wanted.operation),
            *self._compared("s.model_name = {}", wanted.model_name),
            *self._compared("s.model_version = {}", wanted.model_version),
            *self._among("s.status", status),
        ]

    def _of_annotations(self) -> list[str]:
        wanted = self.filter
        return [
            *self._among("a.annotation_type", wanted.annotation_type),
            *self._among("a.class_name", wanted.class_name),
            *self._compared("a.confidence >= {}", wanted.confidence_from),
            *self._compared("a.confidence <= {}", wanted.confidence_to),
        ]

    def _compared(self, condition: str, value: Any) -> list[str]:
        return [] if value is None else [condition.format(self._parameter(value))]

    def _among(self, column: str, values: Sequence[str] | None) -> list[str]:
        return [] if values is None else [self.sql.among(column, self._parameter(list(values)))]

    def _parameter(self, value: Any) -> str:
        self._parameters.append(value)
        return self.sql.placeholder(len(self._parameters))

    def _plain(self, column: str) -> str:
        return self.sql.plain(column)

    def _json_inside(self, columns: Columns) -> str:
        """The fields of a JSON object, without its braces."""
        fields = [
            f"'\"{name}\":'||coalesce({self._json(column, kind)},'null')"
            for name, column, kind in columns
        ]
        return "||','||".join(fields)

    def _json(self, column: str, kind: str) -> str:
        quoted: dict[str, Callable[[str], str]] = {
            "id": self.sql.identity,
            "text": self.sql.text,
            "json": self.sql.json,
            "number": self.sql.plain,
            "float": self._float,
            "moment": self._moment,
        }
        return quoted[kind](column)

    def _moment(self, column: str) -> str:
        return f"'\"'||{self.sql.moment(column)}||'\"'"

    def _float(self, column: str) -> str:
        """As few digits as tell the number from every other, or nearly so."""
        if isinstance(self.sql, PostgresJson):
            return self.sql.plain(column)
        short, long = f"printf('%!.15g',{column})", f"printf('%!.17g',{column})"
        return (
            f"CASE WHEN {column} IS NULL THEN NULL WHEN CAST({short} AS REAL) = {column}"
            f" THEN {short} ELSE {long} END"
        )

    def _cells(self, columns: Columns) -> str:
        cells = (f"coalesce({self._cell(column, kind)},'')" for _, column, kind in columns)
        return "||','||".join(cells)

    def _cell(self, column: str, kind: str) -> str:
        """A cell of CSV (RFC 4180): texts always in quotes, and none that begins a formula."""
        if kind == "text":
            guard = f"CASE WHEN substr({column},1,1) IN ({_FORMULA}) THEN '''' ELSE '' END"
            return f"'\"'||{guard}||replace({column},'\"','\"\"')||'\"'"
        if kind == "json":
            return f"'\"'||replace({self.sql.json(column)},'\"','\"\"')||'\"'"
        if kind == "moment":
            return self.sql.moment(column)
        return self._float(column) if kind == "float" else self.sql.plain(column)

    def _characters(self, *codes: int) -> str:
        name = "chr" if isinstance(self.sql, PostgresJson) else "char"
        return "||".join(f"{name}({code})" for code in codes)
