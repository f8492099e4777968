"""The mutations that ask for operations: their inputs depend on which operations there are."""

import asyncio
import base64
import logging
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import strawberry
from starlette.datastructures import UploadFile
from strawberry.scalars import JSON

from opsin.core.annotations import validate_annotations
from opsin.core.artifacts import validate_artifacts
from opsin.core.contract import Annotation, ProducedArtifact, Result
from opsin.core.engine import Outcome, Task, make_task
from opsin.core.errors import InvalidInput, InvalidParams, OperationFailed, OpsinError
from opsin.core.imaging import ImageInfo
from opsin.core.immediate import PictureSource
from opsin.core.plugin_host import PluginHost
from opsin.core.storable import check_json
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Info
from opsin.graphql.inputs import chosen
from opsin.graphql.results import PendingResult

log = logging.getLogger(__name__)

_REUSE = "Whether a result that was computed before may be taken; false computes it anew."


@strawberry.enum(description="How one task ended.")
class TaskStatus(Enum):
    SUCCESS = "success"
    SKIPPED = "skipped"
    ERROR = "error"


@strawberry.type(description="A finding, not stored.")
class Finding:
    annotation_type: str
    class_name: str | None
    confidence: float | None
    data: JSON
    storage_path: str | None = strawberry.field(description="The artifact that holds the rest.")

    @classmethod
    def of(cls, annotation: Annotation) -> "Finding":
        return cls(
            annotation_type=annotation.annotation_type,
            class_name=annotation.class_name,
            confidence=annotation.confidence,
            data=JSON(annotation.data),
            storage_path=annotation.storage_path,
        )


@strawberry.type(description="A file of a result, not stored.")
class ProducedFile:
    name: str
    content_type: str
    size_bytes: float
    file: strawberry.Private[ProducedArtifact]

    @classmethod
    def of(cls, file: ProducedArtifact) -> "ProducedFile":
        size = len(file.content)
        return cls(name=file.name, content_type=file.content_type, size_bytes=size, file=file)

    @strawberry.field(description="Its content.")
    async def base64(self) -> str:
        # On a thread: tens of megabytes take long enough for the event loop to be missed.
        encoded = await asyncio.to_thread(base64.b64encode, self.file.content)
        return encoded.decode("ascii")


@strawberry.type(description="What came of one task.")
class TaskOutcome:
    task_id: strawberry.ID
    operation: str
    status: TaskStatus
    error_code: str | None
    error_message: str | None
    provenance: JSON
    annotations: list[Finding]
    artifacts: list[ProducedFile] = strawberry.field(
        description="Files of the result, which annotations name by their `storagePath`."
    )
    found: strawberry.Private[Result | None]

    @classmethod
    def of(cls, outcome: Outcome) -> "TaskOutcome":
        result, annotations, artifacts, error = _shown(outcome)
        return cls(
            task_id=strawberry.ID(outcome.task.task_id),
            operation=outcome.task.operation.name,
            status=TaskStatus.ERROR if error is not outcome.error else TaskStatus(outcome.status),
            error_code=error.code if error else None,
            error_message=error.message if error else None,
            provenance=JSON(outcome.provenance.as_json()),
            annotations=[Finding.of(annotation) for annotation in annotations],
            artifacts=[ProducedFile.of(file) for file in artifacts],
            found=result,
        )

    @strawberry.field(description="Null unless the status is SUCCESS.")
    def result(self) -> PendingResult | None:
        return self.found


@strawberry.type(description="The picture as it was decoded.")
class Picture:
    format: str
    width: int
    height: int
    frames: int
    orientation: int
    orientation_applied: bool
    notes: list[str]

    @classmethod
    def of(cls, info: ImageInfo) -> "Picture":
        return cls(
            format=info.format,
            width=info.width,
            height=info.height,
            frames=info.frames,
            orientation=info.orientation,
            orientation_applied=info.orientation_applied,
            notes=list(info.notes),
        )


@strawberry.type
class AnalyzeImageResult:
    picture: Picture
    outcomes: list[TaskOutcome]


def analysis_mutations(host: PluginHost, operation_input: Any) -> type:
    """The mutations `analyze` and `analyzeImage`; `operation_input` has a member per operation."""

    @strawberry.input(description="One operation, by `run` (typed) or by its name and JSON params.")
    class TaskInput:
        task_id: strawberry.ID | None = strawberry.field(
            default=None, description="Comes back with the result; default: its number from 0."
        )
        operation: str | None = None
        params: JSON | None = None
        run: operation_input | None = None

    @strawberry.input
    class AnalyzeInput:
        image_id: strawberry.ID
        tasks: list[TaskInput]
        priority: int = 0
        reuse: bool = strawberry.field(default=True, description=_REUSE)

    @strawberry.input(description="Give exactly one of file, url, base64 and imageId.")
    class AnalyzeImageInput:
        tasks: list[TaskInput]
        file: UploadFile | None = None
        url: str | None = None
        base64: str | None = None
        image_id: strawberry.ID | None = None
        reuse: bool = strawberry.field(default=True, description=_REUSE)

    @strawberry.type
    class AnalysisMutation:
        @strawberry.mutation(description="Queue operations on a stored image; follow them by id.")
        async def analyze(self, info: Info, input: AnalyzeInput) -> list[Analysis]:
            made = await info.context.use_cases.analyses.ask(
                info.context.principal,
                input.image_id,
                _tasks(host, input.tasks, reuse=input.reuse),
                priority=input.priority,
            )
            return [Analysis.of(record) for record in made]

        @strawberry.mutation(
            description="Run operations on a picture now; stored only by a server that records."
        )
        async def analyze_image(self, info: Info, input: AnalyzeImageInput) -> AnalyzeImageResult:
            analyzed = await info.context.use_cases.immediate.analyze(
                info.context.principal,
                PictureSource(
                    file=input.file.file if input.file is not None else None,
                    url=input.url,
                    base64=input.base64,
                    image_id=input.image_id,
                    filename=input.file.filename if input.file is not None else None,
                ),
                _tasks(host, input.tasks, reuse=input.reuse),
            )
            return AnalyzeImageResult(
                picture=Picture.of(analyzed.info),
                outcomes=[TaskOutcome.of(outcome) for outcome in analyzed.outcomes],
            )

    return AnalysisMutation


def _shown(
    outcome: Outcome,
) -> tuple[Result | None, Sequence[Annotation], Sequence[ProducedArtifact], OpsinError | None]:
    """Result, annotations, files and error, held to what a stored analysis must keep to."""
    result = outcome.result
    if result is None:
        return None, [], [], outcome.error
    try:
        values = result.model_dump(mode="json")
        check_json(values, "the result")
        found = validate_annotations(list(result.annotations()))
        files = validate_artifacts(result.artifacts())
        declared = outcome.task.operation.result
        # GraphQL knows the declared class only; an operation may give a subclass of its own.
        shown = result if type(result) is declared else declared.model_validate(values)
        return shown, found, files, None
    # The plugin's code: not even a sys.exit of its own may pass.
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log.exception("the result of %s cannot be shown", outcome.task.operation.name)
        reason = error.message if isinstance(error, InvalidInput) else type(error).__name__
        return None, [], [], OperationFailed(f"The result cannot be used: {reason}")


def _tasks(host: PluginHost, inputs: list[Any], *, reuse: bool) -> list[Task]:
    tasks = [_task(host, str(index), given) for index, given in enumerate(inputs)]
    return [replace(task, reuse=reuse) for task in tasks]


def _task(host: PluginHost, number: str, given: Any) -> Task:
    task_id = number if given.task_id is None else str(given.task_id)
    if not 1 <= len(task_id) <= 255 or "\x00" in task_id:
        raise InvalidInput("A taskId has 1 to 255 characters")
    if given.run is not None:
        if given.operation is not None or given.params is not None:
            raise InvalidInput("Give either run, or operation with params")
        name, params = chosen(given.run)
        return _checked_task(host, task_id, name, params)
    if given.operation is None:
        raise InvalidInput("Give either run, or operation with params")
    return _checked_task(host, task_id, given.operation, given.params)


def _checked_task(host: PluginHost, task_id: str, name: str, params: Any) -> Task:
    task = make_task(host, task_id, name, params)
    try:
        check_json(task.params.model_dump(mode="json"), "params")
    except InvalidInput as error:
        raise InvalidParams(error.message) from None
    return task
