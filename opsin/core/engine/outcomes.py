"""What a step has come to, as its asker gets it: the result in its place, and how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass

from opsin.core.contract import Box, Result, Target
from opsin.core.engine.batching import Completed
from opsin.core.engine.placed import Placed, joined
from opsin.core.engine.provenance import ModelUsed, Provenance, Timings
from opsin.core.engine.steps import Step
from opsin.core.engine.task import Outcome, TaskStatus
from opsin.core.errors import NotShown, OpsinError
from opsin.core.plugin_host import PluginInfo


@dataclass(frozen=True, slots=True)
class Made:
    """What took part in making an answer."""

    plugin: PluginInfo
    decode_seconds: float
    placed: Placed | None
    """None of a step whose region was never known."""
    finder_models: Mapping[Target, tuple[ModelUsed, ...]]
    completed: Completed | None
    """None when no runner was reached."""


def outcome_of(step: Step, answer: Result | OpsinError, made: Made) -> Outcome:
    provenance = _provenance(step, made)
    if not isinstance(answer, OpsinError):
        return Outcome(step.task, TaskStatus.SUCCESS, answer, None, provenance)
    status = TaskStatus.SKIPPED if isinstance(answer, NotShown) else TaskStatus.ERROR
    return Outcome(step.task, status, None, answer, provenance)


def with_region(answer: Result, step: Step, placed: Placed) -> Result:
    """The result, told where in the picture it was looked for."""
    region, note = placed.box, placed.note
    if not step.task.operation.uses_picture:
        region, note = _looked_at(step)
    if region is None and note is None:
        return answer
    return answer.model_copy(update={"region": region, "note": joined(answer.note, note)})


def _provenance(step: Step, made: Made) -> Provenance:
    operation, placed, completed = step.task.operation, made.placed, made.completed
    origin = None if completed is None else completed.origin
    models = () if origin is None else origin.models
    if placed is None:
        timings = Timings(decode=made.decode_seconds * 1000)
    else:
        timings = placed.timings(made.decode_seconds, completed)
        for target in placed.searched:
            models += made.finder_models.get(target, ())
    reused = False
    for needed in step.inputs:
        if needed.outcome is not None:
            others = needed.outcome.provenance
            models += tuple(model for model in others.models if model not in models)
            reused |= others.cached or others.inputs_reused
    return Provenance(
        plugin=made.plugin.name,
        plugin_version=made.plugin.version,
        operation=operation.name,
        operation_version=operation.version,
        device=None if origin is None else origin.device,
        models=models,
        timings=timings,
        batch_size=0 if completed is None else completed.batch_size,
        inputs_reused=reused,
    )


def _looked_at(step: Step) -> tuple[Box | None, str | None]:
    """Region and note of the first input that has any."""
    for needed in step.inputs:
        result = needed.result
        if result.region is not None or result.note is not None:
            return result.region, result.note
    return None, None
