"""Analyses: made, listed, read, and exported."""

import asyncio
import csv
import io
import json
import re
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import PIPELINE, Door
from opsin.compat.vista.gate import Policy
from opsin.compat.vista.objects import analysis_object
from opsin.compat.vista.repeats import echo, once_of
from opsin.compat.vista.routing import Routes
from opsin.core.access import Principal
from opsin.core.errors import NotFound
from opsin.core.external_analyses import NewExternalAnalysis
from opsin.core.external_reads import AnnotationPage
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.once import Repeated
from opsin.core.records import Analysis
from opsin.core.storable import check_json

_COLUMNS = (
    "id",
    "annotation_type",
    "class_name",
    "confidence",
    "storage_path",
    "ordering",
    "data",
    "created_at",
)
_HEADINGS = {"id": "annotation_id", "data": "data_json"}

Offset = Annotated[int, Query(ge=0, le=2**31)]


class AnalysisCreate(BaseModel):
    """A run of a model; what is not named here is ignored."""

    model_config = ConfigDict(protected_namespaces=())

    image_id: UUID | None = None
    model_name: str = Field(min_length=2, max_length=255, pattern=r"^[A-Za-z0-9_-]+$")
    model_version: str = Field(min_length=1, max_length=100)
    parameters: dict[str, Any] | None = None
    description: str | None = None


class AnalysisRoutes:
    """`/images/{id}/analyses` and `/analyses/{id}`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        policy, tag = Policy.ANALYSES, "analyses"
        of_image, one = "/images/{image_id}/analyses", "/analyses/{analysis_id}"
        add = partial(routes.add, policy=policy, tag=tag, direct=True)
        add("POST", of_image, self.create, status=201)
        add("GET", of_image, self.listed)
        add("GET", one, self.read)
        add("GET", f"{one}/annotations", self.annotations)
        routes.add("GET", f"{one}/export", self.export, policy=policy, tag=tag)

    async def create(self, request: Request, image_id: UUID, body: AnalysisCreate) -> Response:
        """Tell that a model begins to work on an image."""
        if body.image_id is not None and body.image_id != image_id:
            raise HTTPException(400, "Image ID mismatch")
        principal = await self._door.image(request, image_id)
        options = self._door.options
        if body.model_name not in options.allowed_models:
            raise HTTPException(400, "Model not allowed")
        check_json(body.parameters, "parameters")
        check_json(body.description, "description")
        new = NewExternalAnalysis(
            image_id=str(image_id),
            model_name=body.model_name,
            model_version=body.model_version,
            parameters=body.parameters,
            provenance={"description": body.description} if body.description else None,
            requested_by=principal.identity,
        )
        use_cases = self._door.use_cases
        once = await once_of(request, options.remembered)
        try:
            made = await use_cases.analyses.tell(
                principal, new, most=options.max_analyses, once=once
            )
        except Repeated as repeated:
            made = await require(self._door, principal, repeated.told)
            return json_answer(analysis_object(made), 201, **echo(request, once))
        if options.starts_processing:
            made = await use_cases.analyses.update_status(
                principal, made.id, AnalysisStatus.PROCESSING
            )
        return json_answer(analysis_object(made), 201, **echo(request, once))

    async def listed(
        self,
        request: Request,
        image_id: UUID,
        skip: Offset = 0,
        limit: Annotated[int, Query(ge=0, le=500)] = 100,
    ) -> Response:
        """The analyses of an image, newest first, without their annotations."""
        principal = await self._door.image(request, image_id)
        found, total = await self._door.use_cases.external_reads.analyses_of(
            principal, str(image_id), skip=skip, limit=limit
        )
        return json_answer({"analyses": [analysis_object(one) for one in found], "total": total})

    async def read(self, request: Request, analysis_id: UUID) -> Response:
        """An analysis with every annotation."""
        analysis = await self._analysis(request, analysis_id)
        return await full_answer(self._door, analysis)

    async def annotations(
        self,
        request: Request,
        analysis_id: UUID,
        skip: Offset = 0,
        limit: Annotated[int, Query(ge=0, le=1000)] = 200,
    ) -> Response:
        """Annotations, those with `ordering` first, then in the order of their insertion."""
        principal = await self._door.analysis(request, analysis_id)
        page = await self._door.use_cases.external_reads.annotation_page(
            principal, str(analysis_id), skip=skip, limit=limit
        )
        if page is None:
            raise NotFound("Analysis not found")
        return json_answer({"annotations": orjson.Fragment(page.json), "total": page.total})

    async def export(
        self,
        request: Request,
        analysis_id: UUID,
        format: Annotated[str, Query(pattern="^(json|csv)$")] = "json",
    ) -> Response:
        """The analysis as one JSON document, or its annotations as CSV."""
        analysis = await self._analysis(request, analysis_id)
        found = await all_annotations(self._door, analysis, with_analysis=False)
        if format == "json":
            count = {"annotation_count": found.total}
            return json_answer(analysis_object(analysis, found.json) | count)
        model = re.sub(r"[^A-Za-z0-9_.-]", "_", analysis.model_name)
        name = f"analysis_{model}_{analysis.created_at:%Y%m%d_%H%M%S}.csv"
        headers = {"content-disposition": f"attachment; filename={name}"}
        # On a thread: a hundred thousand rows take a second.
        content = await asyncio.to_thread(_csv, found.json)
        return Response(content, headers=headers, media_type="text/csv; charset=utf-8")

    async def _analysis(self, request: Request, analysis_id: UUID) -> Analysis:
        principal = await self._door.analysis(request, analysis_id)
        return await require(self._door, principal, str(analysis_id))


async def require(door: Door, principal: Principal, analysis_id: str) -> Analysis:
    found = await door.use_cases.analyses.find(principal, analysis_id)
    if found is None:
        raise NotFound("Analysis not found")
    return found


async def full_answer(door: Door, analysis: Analysis, *, status: str | None = None) -> Response:
    """The analysis with all its annotations."""
    annotations = await all_annotations(door, analysis)
    return json_answer(analysis_object(analysis, annotations.json, status=status))


async def all_annotations(
    door: Door, analysis: Analysis, *, with_analysis: bool = True
) -> AnnotationPage:
    """All annotations of an analysis that the caller has been shown."""
    found = await door.use_cases.external_reads.annotation_page(
        Principal(analysis.company_id, PIPELINE), analysis.id, with_analysis=with_analysis
    )
    if found is None:
        raise NotFound("Analysis not found")  # deleted a moment ago
    return found


def _csv(annotations: bytes) -> str:
    """Rows with CRLF, quoted where they must be; `data` as Python writes JSON."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([_HEADINGS.get(name, name) for name in _COLUMNS])
    for annotation in json.loads(annotations):
        annotation["data"] = json.dumps(annotation["data"])
        rows.writerow(["" if annotation[n] is None else annotation[n] for n in _COLUMNS])
    return text.getvalue()
