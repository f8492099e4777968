"""The mutations that ask for operations: their inputs depend on which operations there are."""

from enum import Enum
from typing import Any

import strawberry
from starlette.datastructures import UploadFile
from strawberry.file_uploads import Upload
from strawberry.scalars import JSON

from opsin.core.contract import Params
from opsin.core.engine import Outcome, Task, make_task
from opsin.core.errors import InvalidInput, InvalidParams
from opsin.core.imaging import ImageInfo
from opsin.core.immediate import PictureSource
from opsin.core.plugin_host import PluginHost
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Info
from opsin.graphql.results import PendingResult, operation_input


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


@strawberry.type(description="What came of one task.")
class TaskOutcome:
    task_id: strawberry.ID
    operation: str
    status: TaskStatus
    error_code: str | None
    error_message: str | None
    provenance: JSON
    outcome: strawberry.Private[Outcome]

    @classmethod
    def of(cls, outcome: Outcome) -> "TaskOutcome":
        return cls(
            task_id=strawberry.ID(outcome.task.task_id),
            operation=outcome.task.operation.name,
            status=TaskStatus(outcome.status.value),
            error_code=outcome.error.code if outcome.error else None,
            error_message=outcome.error.message if outcome.error else None,
            provenance=JSON(outcome.provenance.as_json()),
            outcome=outcome,
        )

    @strawberry.field(description="Null unless the status is SUCCESS.")
    def result(self) -> PendingResult | None:
        return self.outcome.result

    @strawberry.field
    def annotations(self) -> list[Finding]:
        found = self.outcome.result.annotations() if self.outcome.result else ()
        return [
            Finding(
                annotation_type=a.annotation_type,
                class_name=a.class_name,
                confidence=a.confidence,
                data=JSON(a.data),
            )
            for a in found
        ]


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


def analysis_mutations(host: PluginHost) -> type:
    """The mutations `analyze` and `analyzeImage`, with an input member per registered operation."""
    operation_member: Any = operation_input(host)

    @strawberry.input(description="One operation, by `run` (typed) or by its name and JSON params.")
    class TaskInput:
        task_id: strawberry.ID | None = strawberry.field(
            default=None, description="Comes back with the result; default: its number from 0."
        )
        operation: str | None = None
        params: JSON | None = None
        run: operation_member | None = None  # type: ignore[valid-type]  # made at start-up

    @strawberry.input
    class AnalyzeInput:
        image_id: strawberry.ID
        tasks: list[TaskInput]
        priority: int = 0

    @strawberry.input(description="Give exactly one of file, url, base64 and imageId.")
    class AnalyzeImageInput:
        tasks: list[TaskInput]
        file: Upload | None = None
        url: str | None = None
        base64: str | None = None
        image_id: strawberry.ID | None = None

    @strawberry.type
    class AnalysisMutation:
        @strawberry.mutation(description="Queue operations on a stored image; follow them by id.")
        async def analyze(self, info: Info, input: AnalyzeInput) -> list[Analysis]:
            made = await info.context.use_cases.analyses.ask(
                info.context.principal,
                input.image_id,
                _tasks(host, input.tasks),
                priority=input.priority,
            )
            return [Analysis.of(record) for record in made]

        @strawberry.mutation(description="Run operations on a picture now; nothing is stored.")
        async def analyze_image(self, info: Info, input: AnalyzeImageInput) -> AnalyzeImageResult:
            upload: UploadFile | None = input.file
            analyzed = await info.context.use_cases.immediate.analyze(
                info.context.principal,
                PictureSource(
                    file=upload.file if upload is not None else None,
                    url=input.url,
                    base64=input.base64,
                    image_id=input.image_id,
                ),
                _tasks(host, input.tasks),
            )
            return AnalyzeImageResult(
                picture=Picture.of(analyzed.info),
                outcomes=[TaskOutcome.of(outcome) for outcome in analyzed.outcomes],
            )

    return AnalysisMutation


def _tasks(host: PluginHost, inputs: list[Any]) -> list[Task]:
    return [_task(host, str(index), given) for index, given in enumerate(inputs)]


def _task(host: PluginHost, number: str, given: Any) -> Task:
    task_id = number if given.task_id is None else str(given.task_id)
    if not 1 <= len(task_id) <= 255 or "\x00" in task_id:
        raise InvalidInput("A taskId has 1 to 255 characters")
    if given.run is not None:
        if given.operation is not None or given.params is not None:
            raise InvalidInput("Give either run, or operation with params")
        name, params = _chosen(given.run)
        return make_task(host, task_id, name, params)
    if given.operation is None:
        raise InvalidInput("Give either run, or operation with params")
    if given.params is not None and not isinstance(given.params, dict):
        raise InvalidParams("params must be a JSON object")
    return make_task(host, task_id, given.operation, given.params)


def _chosen(run: Any) -> tuple[str, Params]:
    """The one member that a @oneOf input has."""
    for name, value in vars(run).items():
        if isinstance(value, Params):
            return name, value
    raise InvalidInput("run needs exactly one operation")
