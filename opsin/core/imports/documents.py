"""What Opsin's own exports hold, as JSON and as lines of JSON; VISTA's exports of analyses too."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from opsin.core.datasets import require_text
from opsin.core.errors import InvalidInput
from opsin.core.imports.checking import check_each
from opsin.core.imports.found import (
    Findings,
    Place,
    Refusal,
    Refused,
    Size,
    SourceAnalysis,
    SourceImage,
    digest_in,
)
from opsin.core.imports.json_file import JsonFile
from opsin.core.imports.json_spans import Positions, Spans, groups_of, key_of
from opsin.core.imports.trees import PICTURE_ENDINGS
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.storable import check_json
from opsin.storage.json_text import dump_json

_ANNOTATION = ("annotation_type", "class_name", "confidence", "data", "storage_path", "ordering")
_OBJECTS = ("parameters", "summary", "provenance")
_STATUSES = {status.value.lower(): status.value for status in AnalysisStatus}
_STATUSES["canceled"] = AnalysisStatus.CANCELLED.value
_NO_KEY = -(1 << 62)
"""From here downwards are keys of values that have none of their own; `key_of` gives no such."""


class Documents:
    """Images with analyses, or analyses each with the id of its image; `form` names the format."""

    def __init__(self, document: JsonFile, spans: Spans, form: str) -> None:
        self._document = document
        self._spans = spans
        self._form = form
        self.findings = Findings()
        self.digest = document.sha256
        self._groups = list(self._grouped())

    def __len__(self) -> int:
        return len(self._groups)

    def images(self) -> Iterator[SourceImage]:
        """By where each is met first."""
        for which in self._groups:
            values = self._taken(which)
            if not values:
                continue
            number, given = values[0]
            named: dict[str, Any] = given
            analyses: list[Any]
            if "analyses" in given:
                analyses = _list(given.get("analyses"))
            elif self._form == "ndjson":
                named = {
                    name.removeprefix("image_"): value
                    for name, value in given.items()
                    if name.startswith("image_")
                }
                analyses = list(_of_lines(values))
            else:
                named = {"id": given.get("image_id")} | _object(given.get("image"))
                analyses = [one for _, one in values]
            yield self._image(number, named, analyses)

    def _image(self, number: int, given: Mapping[str, Any], analyses: Sequence[Any]) -> SourceImage:
        own, filename = given.get("id"), given.get("filename")
        width, height = given.get("width"), given.get("height")
        size = (width, height) if type(width) is int and type(height) is int else None
        named = filename if isinstance(filename, str) and filename else None
        metadata = given.get("metadata")
        place = partial(self._document.place_of, self._spans, number)
        return SourceImage(
            place,
            named or f"image {own}",
            partial(self._read, analyses, place, size),
            sum(len(_list(one.get("annotations"))) * 200 for one in analyses if _is_object(one)),
            # VISTA tells no name; the files may have that of the image.
            paths=[named] if named else [f"{own}{ending}" for ending in PICTURE_ENDINGS],
            filename=named,
            image_id=own if isinstance(own, str) else None,
            sha256=digest_in(given.get("sha256")),
            size=size,
            metadata=metadata if isinstance(metadata, dict) else None,
        )

    def _read(
        self, given: Sequence[Any], place: Any, size: Size | None, actual: Size, orientation: int
    ) -> Sequence[SourceAnalysis]:
        if size is not None and size != actual:
            raise Refused(f"its annotations are for {size[0]} x {size[1]} pixels, not for these")
        found = []
        for one in given:
            try:
                analysis = self._analysis(one, place)
            except Refused as error:
                self.findings.refusals.add(place, str(error))
            else:
                if analysis is not None:
                    found.append(analysis)
        return found

    def _analysis(self, given: Any, place: Any) -> SourceAnalysis | None:
        if not _is_object(given):
            raise Refused("an analysis must be an object")
        status = _STATUSES.get(str(given.get("status")).lower())
        if status is None:
            raise Refused(f"an analysis has no status {str(given.get('status'))[:40]!r}")
        operation = _text(given, "operation", 255)
        if operation is not None and not AnalysisStatus(status).is_final:
            self.findings.notes["analyses that an operation had not ended, left out"] += 1
            return None
        try:
            name = require_text(str(given.get("model_name")), "model_name", 255)
            version = require_text(str(given.get("model_version")), "model_version", 100)
            for field in (*_OBJECTS, "result"):
                check_json(given.get(field), field)
        except InvalidInput as error:
            raise Refused(error.message) from None
        objects: dict[str, Any] = {field: given.get(field) for field in _OBJECTS}
        if any(value is not None and not _is_object(value) for value in objects.values()):
            raise Refused("parameters, summary and provenance must be objects")
        source_id = given.get("id")
        imported = {
            "source": self._document.name,
            "sha256": self._document.sha256,
            "format": self._form,
            "analysis": {n: given[n] for n in ("id", "created_at", "completed_at") if n in given},
        }
        annotations = [_annotation(one) for one in _list(given.get("annotations"))]
        lines = given.get("lines")
        rows = check_each(
            annotations,
            lambda n: self._document.place_of(self._spans, lines[n]) if lines else place(),
            self.findings.refusals,
        )
        if any(row[4] is not None for row in rows.rows):
            self.findings.notes["analyses with files, which an export does not hold"] += 1
        objects["provenance"] = (objects["provenance"] or {}) | {"imported": imported}
        content = dump_json({name: value for name, value in given.items() if name != "lines"})
        return SourceAnalysis(
            f"{self._form} {hashlib.sha256(content.encode()).hexdigest()}",
            name,
            version,
            rows,
            status=status,
            source_id=source_id if isinstance(source_id, str) else None,
            operation=operation,
            error_message=_text(given, "error_message", 1 << 20),
            result_type=_text(given, "result_type", 255),
            result=given.get("result"),
            **objects,
        )

    def _grouped(self) -> Iterator[Positions]:
        """The numbers of the values of each image."""
        keys = np.zeros(len(self._spans), np.int64)
        for first, values in self._document.batches(self._spans):
            for number, given in enumerate(values, first):
                if _is_object(given) and "analyses" not in given:
                    key = key_of(given.get("image_id"))
                else:
                    key = None  # an image of its own; what is none is told of later
                keys[number] = _NO_KEY - number if key is None else key
        yield from groups_of(keys)

    def _taken(self, which: Positions) -> list[tuple[int, dict[str, Any]]]:
        """The values that are objects; the others are refused."""
        found = []
        values = self._document.load(self._spans, which)
        for number, given in zip(which.tolist(), values, strict=True):
            if isinstance(given, Refusal):
                self.findings.refusals.add(partial(_itself, given.place), given.reason)
            elif not _is_object(given):
                place = partial(self._document.place_of, self._spans, number)
                self.findings.refusals.add(place, "an object is expected")
            else:
                found.append((number, given))
        return found


def _of_lines(values: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The analyses of one image's lines, each annotation with the number of its line."""
    found: dict[Any, dict[str, Any]] = {}
    for number, given in values:
        own = given.get("analysis_id")
        analysis = found.setdefault(
            dump_json(own),  # with every digit of a number
            {
                "id": own,
                "operation": given.get("operation"),
                "model_name": given.get("model_name"),
                "model_version": given.get("model_version"),
                "status": given.get("analysis_status"),
                "annotations": [],
                "lines": [],
            },
        )
        analysis["annotations"].append(given)
        analysis["lines"].append(number)
    yield from found.values()


def _annotation(given: Any) -> Any:
    """Its own fields; what is no object is refused by the check that follows."""
    if not _is_object(given):
        return {}
    return {name: given[name] for name in _ANNOTATION if given.get(name) is not None}


def _text(given: Mapping[str, Any], name: str, most: int) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        check_json(value, name)
    except InvalidInput as error:
        raise Refused(error.message) from None
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise Refused(f"{name} must be a text of 1 to {most} characters")
    return value


def _itself(place: Place) -> Place:
    return place


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
