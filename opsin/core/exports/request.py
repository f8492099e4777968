"""What an export is of, in which format, and which part of it is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.storable import is_storable_text


class TargetKind(StrEnum):
    """What may be exported, as it is called in addresses."""

    DATASET = "datasets"
    IMAGE = "images"
    ANALYSIS = "analyses"


class ExportFormat(StrEnum):
    """How an export is written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    COCO = "coco"

    @property
    def media_type(self) -> str:
        return _FILES[self][0]

    @property
    def suffix(self) -> str:
        return _FILES[self][1]


_FILES = {
    ExportFormat.JSON: ("application/json", ".json"),
    ExportFormat.NDJSON: ("application/x-ndjson", ".ndjson"),
    ExportFormat.CSV: ("text/csv; charset=utf-8; header=present", ".csv"),
    ExportFormat.COCO: ("application/json", ".coco.json"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One dataset, image or analysis, and whose it is."""

    kind: TargetKind
    id: str
    company_id: str
    dataset_id: str | None = None
    by: Principal | None = None
    """Who asks for it; None for whoever has a signed link."""

    def filename(self, form: ExportFormat) -> str:
        """How the file is called when it is saved."""
        return f"{self.kind.name.lower()}-{self.id}{form.suffix}"


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """Which analyses and which of their annotations are wanted; None means any."""

    operation: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    status: tuple[AnalysisStatus, ...] | None = None
    annotation_type: tuple[str, ...] | None = None
    class_name: tuple[str, ...] | None = None
    confidence_from: float | None = None
    confidence_to: float | None = None

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "ExportFilter":
        """The filter that names and texts give; where several are allowed, also a JSON list.

        Raises InvalidInput for an unknown name: what is misspelled must not give more.
        """
        if unknown := given.keys() - _READERS.keys():
            raise InvalidInput(f"an export has no filter {sorted(unknown)[0]!r}")
        return cls(**{name: _READERS[name](name, text) for name, text in given.items()})


def read_format(text: str | None) -> ExportFormat:
    """The format of that name, in any case; raises InvalidInput."""
    try:
        return ExportFormat((text or "").lower())
    except ValueError:
        known = ", ".join(ExportFormat)
        raise InvalidInput(f"an export needs a format: one of {known}") from None


def _text(name: str, text: str) -> str:
    if not is_storable_text(text):
        raise InvalidInput(f"{name}: NULs and lone surrogates cannot be looked for")
    return text


def _texts(name: str, text: str) -> tuple[str, ...]:
    found: Any = [text]
    if text.startswith("["):
        try:
            found = orjson.loads(text)
        except ValueError:
            raise InvalidInput(f"{name} must be a text or a JSON list of texts") from None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidInput(f"{name} must be a text or a JSON list of texts")
    return tuple(_text(name, one) for one in found)


def _statuses(name: str, text: str) -> tuple[AnalysisStatus, ...]:
    try:
        return tuple(AnalysisStatus(one.upper()) for one in _texts(name, text))
    except ValueError:
        raise InvalidInput(f"{name} must be one of {', '.join(AnalysisStatus)}") from None


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise InvalidInput(f"{name} must be a number from 0 to 1")
    return number


_READERS: dict[str, Any] = {
    "operation": _text,
    "model_name": _text,
    "model_version": _text,
    "status": _statuses,
    "annotation_type": _texts,
    "class_name": _texts,
    "confidence_from": _number,
    "confidence_to": _number,
}
