"""What `opsin analyze` found, as a JSON document and as a table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from opsin.cli.output import new_table
from opsin.core.engine import Outcome, TaskStatus
from opsin.core.errors import OpsinError

if TYPE_CHECKING:
    from opsin.cli.analyze import AnalyzedImage

_STYLES = {TaskStatus.SUCCESS: "green", TaskStatus.SKIPPED: "yellow", TaskStatus.ERROR: "red"}
_BOX = ("x_min", "y_min", "x_max", "y_max")
_SHOWN = 4  # of a longer list of numbers
_APART = {"region", "note"}
"""Fields of every result that the table does not show beside the operation's own."""


def describe(image: "AnalyzedImage") -> dict[str, Any]:
    """A picture's part of the document; `error` stands in the place of `outcomes`."""
    answer = image.answer
    if isinstance(answer, OpsinError):
        return {"image": image.name, "error": _error(answer)}
    return {
        "image": image.name,
        "width": answer.info.width,
        "height": answer.info.height,
        "notes": list(answer.info.notes),
        "outcomes": [_outcome(outcome) for outcome in answer.outcomes],
    }


def has_failed(image: "AnalyzedImage") -> bool:
    """Whether the picture or one of its tasks failed."""
    if isinstance(image.answer, OpsinError):
        return True
    return any(outcome.status is TaskStatus.ERROR for outcome in image.answer.outcomes)


def print_table(console: Console, images: Sequence["AnalyzedImage"]) -> None:
    """A line a task, grouped by picture."""
    table = new_table("Image", "Operation", "Status", "Result", "Note")
    for image in images:
        answer = image.answer
        if isinstance(answer, OpsinError):
            status = Text("error", "red")
            table.add_row(Text(image.name), "", status, "", answer.message, end_section=True)
            continue
        name = Text.assemble(image.name, (f"\n{answer.info.width} x {answer.info.height}", "dim"))
        for note in answer.info.notes:
            name.append(f"\n{note}", "dim")
        for number, outcome in enumerate(answer.outcomes, 1):
            table.add_row(
                name,
                _task_text(outcome),
                Text(outcome.status.value, _STYLES[outcome.status]),
                Text(_result_text(outcome)),
                Text(_note(outcome)),
                end_section=number == len(answer.outcomes),
            )
            name = Text()
    console.print(table)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    result = outcome.result
    found = result.annotations() if result is not None else ()
    return {
        "task_id": outcome.task.task_id,
        "operation": outcome.task.operation.name,
        "target": outcome.task.target.value,
        "status": outcome.status.value,
        "result": None if result is None else result.model_dump(mode="json"),
        "error": None if outcome.error is None else _error(outcome.error),
        "annotations": [a.model_dump(mode="json", exclude_none=True) for a in found],
        "provenance": outcome.provenance.as_json(),
    }


def _task_text(outcome: Outcome) -> Text:
    """The operation, and below it the params as they were asked for."""
    name, _, params = outcome.task.task_id.partition(":")
    return Text.assemble(name, *((f"\n{part}", "dim") for part in params.split(",") if part))


def _error(error: OpsinError) -> dict[str, str]:
    return {"code": error.code, "message": error.message}


def _note(outcome: Outcome) -> str:
    if outcome.error is not None:
        return outcome.error.message
    return (outcome.result.note if outcome.result is not None else None) or ""


def _result_text(outcome: Outcome) -> str:
    """The operation's own fields, one a line."""
    if outcome.result is None:
        return ""
    fields = outcome.result.model_dump(mode="json", exclude=_APART)
    return "\n".join(f"{name}: {_value_text(value)}" for name, value in fields.items())


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        if set(value) == set(_BOX):
            return "x {x_min} to {x_max}, y {y_min} to {y_max}".format(**value)
        return ", ".join(f"{key}={_value_text(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(_value_text(part) for part in value[:_SHOWN])
        return shown if len(value) <= _SHOWN else f"{shown}, ... ({len(value)} in all)"
    return str(value)
