"""A task, one operation asked of one picture, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from opsin.core.contract import Operation, Params, Reference, Result, Target
from opsin.core.engine.provenance import Provenance
from opsin.core.errors import InvalidParams, OpsinError, TargetNotSupported

if TYPE_CHECKING:
    from opsin.core.imaging import ImageInfo
    from opsin.core.plugin_host import PluginHost

_MOST_REASONS = 5
_LONGEST_NAME = 60  # characters of a name the caller sent that a message repeats


@dataclass(frozen=True, slots=True)
class Task:
    """A checked request: params fit the operation, `target` is decided and allowed.

    `reference` is what `operation.reference(params)` asks for; who has the store attaches it.
    `progress` hears the text written so far, on the event loop.  `error` is why it cannot be run,
    where that is known beforehand: it becomes the task's outcome.  `reuse` is whether what was
    computed before may be the answer, or an input of it; the engine itself computes every task.
    """

    task_id: str
    operation: Operation[Any, Any]
    params: Params
    target: Target
    reference: Reference | None = None
    progress: Callable[[str], None] | None = None
    error: OpsinError | None = None
    reuse: bool = True


class TaskStatus(StrEnum):
    SUCCESS = "success"
    SKIPPED = "skipped"
    """We decided not to run it: the picture lacks what the operation looks at."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task: a result, or an error whose message is safe to show."""

    task: Task
    status: TaskStatus
    result: Result | None
    error: OpsinError | None
    provenance: Provenance
    result_key: str | None = None
    """What the result depends on, as a digest; None when it must not be taken again."""


@dataclass(frozen=True, slots=True)
class Analyzed:
    """One picture's outcomes, in the order and number of its tasks."""

    info: "ImageInfo"
    outcomes: tuple[Outcome, ...]


def make_task(
    host: "PluginHost",
    task_id: str,
    operation_name: str,
    params: Mapping[str, Any] | Params | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> Task:
    """Check what a caller asks for.

    Raises UnknownOperation, TargetNotSupported or InvalidParams, in this order of looking.
    """
    operation = host.operation(operation_name)
    if params is not None and not isinstance(params, Params | Mapping):
        raise InvalidParams("params: should be an object")
    asked = params.target if isinstance(params, Params) else (params or {}).get("target")
    target = operation.default_target if asked is None else asked
    if target not in operation.targets:
        allowed = [allowed.value for allowed in operation.targets]
        raise TargetNotSupported(
            f"Unsupported target '{str(target)[:_LONGEST_NAME]}' for '{operation.name}'. "
            f"Allowed: {allowed}"
        )
    checked = _checked(operation, params)
    return Task(task_id, operation, checked, Target(target), progress=progress)


def _checked(operation: Operation[Any, Any], params: Mapping[str, Any] | Params | None) -> Params:
    if isinstance(params, operation.params):
        return params
    given = params.model_dump(exclude_unset=True) if isinstance(params, Params) else params
    try:
        return operation.params.model_validate(dict(given or {}))
    except ValidationError as error:
        raise InvalidParams(_reasons(error)) from None  # the cause holds the caller's values


def _reasons(error: ValidationError) -> str:
    """`field: reason; field: reason`, without the values that were sent."""
    problems = error.errors(include_url=False)
    reasons = []
    for problem in problems[:_MOST_REASONS]:
        field = ".".join(str(part) for part in problem["loc"])[:_LONGEST_NAME] or "params"
        reason = problem["msg"]
        if problem["type"] in ("value_error", "assertion_error"):
            reason = str(problem["ctx"]["error"])
        elif problem["type"] == "union_tag_invalid":
            reason = f"Input tag should be one of {problem['ctx']['expected_tags']}"
        # The plugin author's own words may quote what was sent, which may be anything.
        given = str(problem["input"])
        if len(given) > 3:
            reason = reason.replace(given, "…")
        reasons.append(f"{field}: {reason}")
    if len(problems) > _MOST_REASONS:
        reasons.append(f"and {len(problems) - _MOST_REASONS} more")
    return "; ".join(reasons)
