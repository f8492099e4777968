"""What was answered lately, as JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.responses import Response

from opsin.compat.whales.answers import Refused, answer, problem, unprocessable

COLUMNS: Final = (
    *("created_at", "image_ind", "class_animal", "id_animal", "probability", "is_cetacean"),
    *("cetacean_score", "rejected", "rejection_reason", "model_version", "bbox"),
)
_FORMATS = ("json", "csv")
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Made = Iterable[tuple[datetime, Mapping[str, Any]]]


def asked_format(query: QueryParams) -> str:
    """`json` or `csv`; Refused for any other."""
    form = query.get("format", _FORMATS[0])
    if form not in _FORMATS:
        message = "Input should be 'json' or 'csv'"
        raise unprocessable(problem("literal_error", ("query", "format"), message, form[:100]))
    return form


def asked_since(query: QueryParams) -> datetime | None:
    """The time from which on; without a zone it is UTC.  Raises Refused."""
    text = query.get("since")
    if text is None:
        return None
    try:
        # A `+` that was not escaped has become a space.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except ValueError:
        shown = text[:100]
        raise Refused(HTTPStatus.BAD_REQUEST, f"Invalid ISO-8601 timestamp: {shown}") from None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        # On the first or the last day that there is; its zone no longer matters.
        return moment.replace(tzinfo=UTC)


def as_json(made: Made, since: str | None) -> Response:
    records = [_record(at, record) for at, record in made]
    return answer({"count": len(records), "since": since, "records": records})


def as_csv(made: Made) -> Response:
    """A header and a line for each; what a spreadsheet would take for a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for at, record in made:
        row = _record(at, record)
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    headers = {"content-disposition": "attachment; filename=whales_export.csv"}
    return Response(text.getvalue().encode("utf-8", "replace"), 200, headers, "text/csv")


def _record(at: datetime, record: Mapping[str, Any]) -> dict[str, Any]:
    whole = {"created_at": at.astimezone(UTC).isoformat(), **record}
    return {name: whole.get(name) for name in COLUMNS}


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA):
        return f"'{value}"
    return value
