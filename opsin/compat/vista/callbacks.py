"""Callbacks of pipelines: status, addresses for files, findings, and the end."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.analyses import full_answer, require
from opsin.compat.vista.answers import Invalid, json_answer, problem
from opsin.compat.vista.bulk import read_annotations
from opsin.compat.vista.door import Door
from opsin.compat.vista.gate import Policy
from opsin.compat.vista.objects import new_annotation
from opsin.compat.vista.routing import Routes, admission
from opsin.compat.vista.signatures import Dialect
from opsin.core.contract import Annotation
from opsin.core.errors import IllegalTransition
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis
from opsin.core.storable import check_json

_SHOWN_AFTER_BULK = 500
_CONTENT_TYPES = {
    "heatmap": "image/png",
    "mask": "image/png",
    "segmentation": "image/png",
    "log": "text/plain",
    "metadata": "application/json",
}
_NAME = r"^[A-Za-z0-9_.-]+$"


class StatusChange(BaseModel):
    status: str
    error_message: str | None = None


class Finish(BaseModel):
    status: str | None = None
    error_message: str | None = None
    summary: Any = None


class ArtifactWanted(BaseModel):
    artifact_name: str = Field(min_length=1, max_length=255, pattern=_NAME)
    content_type: str = Field(min_length=3, max_length=255)


class PresignWanted(BaseModel):
    """Several files by name and content type, or one by the kind of thing that it is."""

    artifacts: list[ArtifactWanted] | None = None
    artifact_type: str | None = None
    filename: str | None = Field(None, min_length=1, max_length=255, pattern=_NAME)


class BulkWanted(BaseModel):
    """Annotations to append; `mode` is read by nobody."""

    model_config = ConfigDict(extra="ignore")

    annotations: list[Annotation]
    mode: str = "append"


class CallbackRoutes:
    """`/analyses/{id}/status`, `.../artifacts/presign`, `.../annotations:bulk`, `.../finalize`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        one, tag = "/analyses/{analysis_id}", "callbacks"
        routes.add("PATCH", f"{one}/status", self.status, policy=Policy.STATUS, tag=tag)
        signed = Policy.CALLBACK
        routes.add("POST", f"{one}/artifacts/presign", self.presign, policy=signed, tag=tag)
        bulk = f"{one}/annotations:bulk"
        routes.add("POST", bulk, self.bulk, policy=signed, tag=tag, body=BulkWanted)
        routes.add("POST", f"{one}/finalize", self.finalize, policy=signed, tag=tag)

    async def status(self, request: Request, analysis_id: UUID, body: StatusChange) -> Response:
        """Move an analysis on."""
        check_json(body.error_message, "error_message")
        principal = await self._door.analysis(request, analysis_id)
        analysis = await require(self._door, principal, str(analysis_id))
        wanted = _status(body.status, analysis)
        changed = await self._door.use_cases.analyses.update_status(
            principal, analysis.id, wanted, body.error_message
        )
        return await full_answer(self._door, changed, status=_spelling(body.status, changed))

    async def presign(self, request: Request, analysis_id: UUID, body: PresignWanted) -> Response:
        """Addresses that take a file each."""
        wanted = _files(body)
        for name, _ in wanted:
            if ".." in name:
                raise HTTPException(400, "Invalid filename: path traversal not allowed")
        principal = await self._door.analysis(request, analysis_id)
        made = await self._door.use_cases.uploads.presign(principal, str(analysis_id), wanted)
        answers = [
            {
                "artifact_name": file.name,
                "upload_url": self._door.absolute(request, file.url),
                "storage_path": file.storage_path,
                "expires_in": file.expires_in,
            }
            for file in made
        ]
        return json_answer(
            {"presigned_urls": answers} if body.artifacts is not None else answers[0]
        )

    async def bulk(self, request: Request, analysis_id: UUID) -> Response:
        """Append annotations, all or none."""
        dialect = admission(request).dialect
        is_documented = dialect is Dialect.DOCUMENTED
        # Before the rest is looked at: who may not write here learns nothing else.
        principal = await self._door.analysis(request, analysis_id)
        try:
            found = read_annotations(await request.body(), self._door.options.max_bulk)
            if is_documented:
                _check_boxes(found.boxes)
        except Invalid as invalid:
            if is_documented:
                raise HTTPException(400, _first_reason(invalid)) from None
            raise
        use_cases = self._door.use_cases
        analysis, rows = await use_cases.annotations.append(
            principal, str(analysis_id), found.checked
        )
        await use_cases.uploads.collect(analysis.id)
        reads = use_cases.external_reads
        total = await reads.annotation_count(analysis)
        shown: Any = [new_annotation(row) for row in rows]
        if not is_documented:
            page = await reads.annotations_json(analysis, skip=0, limit=_SHOWN_AFTER_BULK)
            shown = orjson.Fragment(page)
        content = {"created_count": len(rows), "annotations": shown, "total": total}
        return json_answer(content, 201 if is_documented else 200)

    async def finalize(
        self, request: Request, analysis_id: UUID, body: Finish | None = None
    ) -> Response:
        """End an analysis; without a status, only read it."""
        body = body or Finish()
        check_json([body.error_message, body.summary], "summary")
        principal = await self._door.analysis(request, analysis_id)
        analysis = await require(self._door, principal, str(analysis_id))
        use_cases = self._door.use_cases
        if body.status is not None:
            wanted = _status(body.status, analysis)
            if wanted.is_final:
                analysis = await use_cases.analyses.finalize(
                    principal,
                    analysis.id,
                    wanted,
                    error_message=body.error_message,
                    summary=body.summary if isinstance(body.summary, dict) else None,
                )
            else:
                analysis = await use_cases.analyses.update_status(
                    principal, analysis.id, wanted, body.error_message
                )
        await use_cases.uploads.collect(analysis.id)
        spelling = _spelling(body.status, analysis) if body.status else None
        return await full_answer(self._door, analysis, status=spelling)


def _status(word: str, analysis: Analysis) -> AnalysisStatus:
    """The status that a word means; one that is none is an illegal transition."""
    name = word.strip().upper()
    name = "CANCELLED" if name == "CANCELED" else name
    if name not in AnalysisStatus.__members__:
        raise IllegalTransition(f"Illegal transition {analysis.status.lower()}->{word[:100]}")
    return AnalysisStatus[name]


def _spelling(word: str, analysis: Analysis) -> str | None:
    """`canceled` for whoever wrote it so, once."""
    cancelled = analysis.status is AnalysisStatus.CANCELLED
    return "canceled" if cancelled and word.strip().lower() == "canceled" else None


def _files(body: PresignWanted) -> list[tuple[str, str]]:
    if body.artifacts is not None:
        return [(one.artifact_name, one.content_type) for one in body.artifacts]
    if body.artifact_type is None:
        raise problem(["artifact_type"], "Field required", "missing")
    if body.artifact_type not in _CONTENT_TYPES:
        kinds = ", ".join(_CONTENT_TYPES)
        raise problem(["artifact_type"], f"Input should be one of: {kinds}", "enum")
    name = body.filename or f"{body.artifact_type}.bin"
    return [(name, _CONTENT_TYPES[body.artifact_type])]


def _check_boxes(boxes: list[tuple[int, Any]]) -> None:
    """The documented form of a box: four numbers, as `xywh` or `xyxy`."""
    for index, data in boxes:
        box, form = data["bbox"], data.get("format", "xywh")
        numbers = isinstance(box, list) and len(box) == 4
        if not numbers or not all(isinstance(n, int | float) for n in box):
            raise problem(["annotations", index, "data", "bbox"], "must be four numbers")
        if form not in ("xywh", "xyxy"):
            raise problem(["annotations", index, "data", "format"], "must be xywh or xyxy")


def _first_reason(invalid: Invalid) -> str:
    first = invalid.problems[0]
    path = [str(part) for part in first["loc"][1:]]
    if len(path) > 2 and path[0] == "annotations":
        return (
            f"Invalid annotation format: {'.'.join(path[2:])}: {first['msg']}"
            f" (annotation {path[1]})"
        )
    return f"Invalid annotation format: {'.'.join(path) or 'body'}: {first['msg']}"
