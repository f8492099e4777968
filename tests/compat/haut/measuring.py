"""Results of runs as the database gives them, made of what the real operations say of faces."""

import json
from datetime import UTC, datetime
from typing import Any

from opsin import Operation, Picture, Region
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.results import Item, Known, faces_of, item
from opsin.core.applications.records import ApplicationInfo
from opsin.core.errors import OpsinError
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis, StoredAnnotation
from opsin.core.run_results import RunResult
from opsin.core.testing import run_operation
from opsin.plugins.skin.plugin import opsin_operations
from tests.plugins.skin.faces import PaintedFace

OPERATIONS: dict[str, Operation[Any, Any]] = {one.name: one for one in opsin_operations()}
DETECTOR = CATALOGUE.detector.operation
V2, V1 = (one.id for one in CATALOGUE.applications)
RUN = "11111111-1111-7111-8111-111111111111"
AT = datetime(2026, 3, 1, 12, 30, 5, 999_999, tzinfo=UTC)


def ended(
    operation: str,
    result: dict[str, Any] | None,
    *,
    error: OpsinError | None = None,
    application_id: str = V2,
    size: tuple[int, int] = (800, 800),
    **changes: Any,
) -> RunResult:
    """A result, or the failure that the worker would write down."""
    status = AnalysisStatus.FAILED if error else AnalysisStatus.COMPLETED
    values: dict[str, Any] = dict.fromkeys(Analysis.__dataclass_fields__)
    values |= {
        "id": f"analysis of {operation}",
        "image_id": "image",
        "run_id": RUN,
        "operation": operation,
        "operation_version": "1",
        "status": status,
        "result": result,
        "error_code": error and error.code,
        "error_message": error and error.message,
        "completed_at": AT,
    }
    return RunResult(
        Analysis(**values | changes),
        application_id=application_id,
        image_type="selfie",
        subject_id="subject",
        batch_id="batch",
        width=size[0],
        height=size[1],
        side="front",
        light="regular",
    )


def found_in(face: PaintedFace, operation: str, **changes: Any) -> RunResult:
    """What the operation itself finds in a painted face, by way of its JSON."""
    return found_in_picture(face.picture, face.region, operation, **changes)


def found_in_picture(picture: Picture, region: Region, operation: str, **changes: Any) -> RunResult:
    height, width = picture.shape[:2]
    try:
        made = run_operation(OPERATIONS[operation], picture, region=region)
    except OpsinError as error:
        return ended(operation, None, error=error, size=(width, height), **changes)
    stored = json.loads(made.model_dump_json())
    return ended(operation, stored, size=(width, height), **changes)


def items(
    *found: RunResult, annotations: dict[str, list[StoredAnnotation]] | None = None
) -> list[Item]:
    """The items of results that were read together."""
    operations = {one.analysis.operation for one in found}
    numbers: dict[tuple[str, str | None], int] = {
        (name, "1"): place for place, name in enumerate(sorted(map(str, operations)), 30)
    }
    applications = {
        one.id: ApplicationInfo(
            one.id, one.tech_name, one.name, one.description, one.image_type, ()
        )
        for one in CATALOGUE.applications
    }
    known = Known(numbers, applications, faces_of(found), annotations or {})
    return [item(one, known) for one in found]
