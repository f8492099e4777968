"""Annotations: the findings of an analysis, added in bulk, in order, all or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, insert

from opsin.core.access import Principal
from opsin.core.analyses import lock_analysis
from opsin.core.contract import Annotation
from opsin.core.errors import Conflict, InvalidInput, TooLarge
from opsin.core.pages import Listing
from opsin.core.records import Analysis, StoredAnnotation
from opsin.core.storable import check_json, is_storable_text
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import new_ids
from opsin.storage.tables import annotations

LISTING = Listing(annotations, StoredAnnotation, parent="analysis_id")
_MANY = TypeAdapter(list[Annotation])


def visible(principal: Principal) -> Sequence[ColumnElement[bool]]:
    """What limits every read of annotations to the caller's own."""
    return [annotations.c.company_id == principal.company_id]


@dataclass(frozen=True, slots=True)
class AnnotationFilter:
    """Which annotations are wanted; None means any."""

    annotation_type: tuple[str, ...] | None = None
    class_name: tuple[str, ...] | None = None
    confidence_from: float | None = None
    confidence_to: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        c = annotations.c
        found: list[ColumnElement[bool]] = []
        if self.annotation_type is not None:
            found.append(c.annotation_type.in_(self.annotation_type))
        if self.class_name is not None:
            found.append(c.class_name.in_(self.class_name))
        if self.confidence_from is not None:
            found.append(c.confidence >= self.confidence_from)
        if self.confidence_to is not None:
            found.append(c.confidence <= self.confidence_to)
        return found


class Annotations:
    """Adds what external pipelines found."""

    def __init__(self, database: Database, *, max_annotations: int) -> None:
        self._database = database
        self._max = max_annotations

    async def add(
        self, principal: Principal, analysis_id: str, found: Sequence[Any]
    ) -> tuple[Analysis, int]:
        """Append annotations to an external analysis; one bad one refuses them all.

        `found` holds `Annotation`s or dictionaries of their fields.  Gives the analysis and how
        many were added.
        """
        if len(found) > self._max:
            raise TooLarge(f"At most {self._max} annotations may be added in one request")
        checked = validate_annotations(found)
        async with self._database.write() as transaction:
            analysis = await lock_analysis(transaction.connection, principal, analysis_id)
            if not analysis.external:
                raise Conflict("Opsin runs this analysis itself and writes its annotations")
            rows = annotation_rows(analysis.company_id, analysis.id, checked)
            if rows:
                await transaction.connection.execute(insert(annotations), rows)
                transaction.emit(
                    NewEvent(
                        "analysis.annotated",
                        analysis.company_id,
                        dataset_id=analysis.dataset_id,
                        image_id=analysis.image_id,
                        analysis_id=analysis.id,
                        data={"status": analysis.status.value, "added": len(rows)},
                    )
                )
        return analysis, len(rows)


def validate_annotations(found: Sequence[Any]) -> list[Annotation]:
    """The annotations, checked in one pass; InvalidInput names the first bad one and its field."""
    try:
        checked = _MANY.validate_python([_unchecked(annotation) for annotation in found])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        index, *path = first["loc"] or ("?",)
        field = ".".join(str(part) for part in path) or "annotation"
        raise InvalidInput(f"annotation {index}: {field}: {first['msg']}") from None
    for index, annotation in enumerate(checked):
        check_json(annotation.data, f"annotation {index}: data")
        texts = (annotation.annotation_type, annotation.class_name, annotation.storage_path)
        if not all(text is None or is_storable_text(text) for text in texts):
            raise InvalidInput(f"annotation {index}: NULs and lone surrogates cannot be stored")
    return checked


def annotation_rows(
    company_id: str, analysis_id: str, found: Sequence[Annotation]
) -> list[dict[str, Any]]:
    """The rows to insert; their ids ascend, so that reading by id keeps the order."""
    now = datetime.now(UTC)
    return [
        {
            "id": identity,
            "company_id": company_id,
            "analysis_id": analysis_id,
            "annotation_type": annotation.annotation_type,
            "class_name": annotation.class_name,
            "confidence": annotation.confidence,
            "data": annotation.data,
            "storage_path": annotation.storage_path,
            "ordering": annotation.ordering,
            "created_at": now,
        }
        for identity, annotation in zip(new_ids(len(found)), found, strict=True)
    ]


def _unchecked(annotation: Any) -> Any:
    """The fields of one that a plugin made, for pydantic takes its own instances as they are."""
    if not isinstance(annotation, Annotation):
        return annotation
    return {name: getattr(annotation, name, None) for name in Annotation.model_fields}
