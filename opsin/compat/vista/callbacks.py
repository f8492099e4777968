"""Callbacks of pipelines: status, addresses for files, findings, and the end."""

import asyncio
from collections.abc import Sequence
from functools import partial
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
from opsin.compat.vista.objects import new_annotations
from opsin.compat.vista.repeats import echo, once_of, wants_little
from opsin.compat.vista.routing import Routes, admission
from opsin.compat.vista.signatures import Dialect
from opsin.core.access import Principal
from opsin.core.annotations import NewRow
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.contract import Annotation
from opsin.core.errors import IllegalTransition, NotFound
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.once import Once, Repeated
from opsin.core.records import Analysis
from opsin.core.storable import check_json
from opsin.core.uploads import ExpectedFile

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
    size_bytes: int | None = Field(None, ge=0, le=2**53)


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
        add = partial(routes.add, policy=Policy.CALLBACK, tag=tag)
        routes.add(
            "PATCH", f"{one}/status", self.status, policy=Policy.STATUS, tag=tag, direct=True
        )
        add("POST", f"{one}/artifacts/presign", self.presign)
        add(
            "POST",
            f"{one}/annotations:bulk",
            self.bulk,
            body=BulkWanted,
            direct=True,
            remembers=False,
        )
        add("POST", f"{one}/finalize", self.finalize, direct=True)

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
        for file in wanted:
            if ".." in file.name:
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
        if is_documented:
            return await self._append_signed(request, principal, str(analysis_id), found.checked)
        use_cases = self._door.use_cases
        once = await once_of(request, self._door.options.remembered)
        created = len(found.checked)
        try:
            analysis, _ = await use_cases.annotations.append(
                principal, str(analysis_id), found.checked, once=once
            )
        except Repeated as repeated:
            analysis = await require(self._door, principal, str(analysis_id))
            created = int(repeated.told)
        most = 0 if wants_little(request) else _SHOWN_AFTER_BULK
        page, _ = await asyncio.gather(
            use_cases.external_reads.annotation_page(principal, analysis.id, limit=most),
            use_cases.sent_files.collect(analysis.id),
        )
        if page is None:
            raise NotFound("Analysis not found")  # deleted a moment ago
        shown = orjson.Fragment(page.json)
        content = {"created_count": created, "annotations": shown, "total": page.total}
        return json_answer(content, 200, **echo(request, once))

    async def _append_signed(
        self,
        request: Request,
        principal: Principal,
        analysis_id: str,
        checked: CheckedAnnotations,
    ) -> Response:
        """As the documented dialect answers; kept with the rows, for whoever sends it again."""
        admitted, answers = admission(request), list[str]()
        assert admitted.digest is not None
        once = Once(admitted.digest, admitted.keep)

        def tell(rows: Sequence[NewRow], total: int) -> str:
            shown = b"[]" if wants_little(request) else new_annotations(rows)
            told = {"created_count": len(rows), "annotations": orjson.Fragment(shown)}
            answers.append(orjson.dumps(told | {"total": total}).decode())
            return answers[0]

        use_cases = self._door.use_cases
        try:
            analysis, _ = await use_cases.annotations.append(
                principal, analysis_id, checked, once=once, tell=tell
            )
            await use_cases.sent_files.collect(analysis.id)
        except Repeated as repeated:
            answers = [repeated.told]
        return Response(answers[0], 201, media_type="application/json")

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
        await use_cases.sent_files.collect(analysis.id)
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


def _files(body: PresignWanted) -> list[ExpectedFile]:
    if body.artifacts is not None:
        return [
            ExpectedFile(one.artifact_name, one.content_type, one.size_bytes)
            for one in body.artifacts
        ]
    if body.artifact_type is None:
        raise problem(["artifact_type"], "Field required", "missing")
    if body.artifact_type not in _CONTENT_TYPES:
        kinds = ", ".join(_CONTENT_TYPES)
        raise problem(["artifact_type"], f"Input should be one of: {kinds}", "enum")
    name = body.filename or f"{body.artifact_type}.bin"
    return [ExpectedFile(name, _CONTENT_TYPES[body.artifact_type])]


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
