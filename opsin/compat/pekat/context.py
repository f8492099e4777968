"""The context: all that an answer says of a picture, as one JSON object."""

import math
from collections.abc import Sequence
from typing import Any

import orjson

from opsin.compat.pekat.findings import Findings
from opsin.compat.pekat.flow import Flow
from opsin.compat.pekat.flow_file import Rule
from opsin.core.engine import Outcome, TaskStatus


def bare_context(size: tuple[int, int], seconds: float) -> bytes:
    """What is answered while processing is off; clients refuse any other key here."""
    return orjson.dumps(_common(size, seconds, is_processing=False))


def full_context(
    flow: Flow,
    outcomes: Sequence[Outcome],
    findings: Findings,
    size: tuple[int, int],
    *,
    data: str,
    processing_seconds: float,
    complete_seconds: float,
) -> bytes:
    """What the flow found on a picture of this size (width, height), as JSON in UTF-8."""
    errors = [
        f"{outcome.task.operation.name}: {outcome.error.message}"
        for outcome in outcomes
        if outcome.status is TaskStatus.ERROR and outcome.error is not None
    ]
    has_failed = bool(errors)
    context = _common(size, processing_seconds, is_processing=True) | {
        "data": data,
        "production_mode": True,
        "completeTime": complete_seconds,
        "detectedRectangles": findings.rectangles,
        "surfaceClasses": findings.surface_classes,
        "operatorInput": {},
        "globalData": {},
        "stdout": "",
        "stderr": "",
        "score": 0.0,
        "threshold": 0.0,
        "angle": None,
        "lines": [],
    }
    for step, outcome in zip(flow.steps, outcomes, strict=True):
        if step.given.key is not None:
            result = outcome.result
            context[step.given.key] = None if result is None else result.model_dump(mode="json")
    context["result"] = _is_fine(flow, findings, context, errors) and not has_failed
    context["error"] = has_failed
    context["errors"] = errors
    return orjson.dumps(context)  # which has no NaN and no infinity: they become null


def _common(size: tuple[int, int], seconds: float, *, is_processing: bool) -> dict[str, Any]:
    width, height = size
    return {
        "error": False,
        "imageShape": {"height": height, "width": width},
        "processing": is_processing,
        "processingTime": seconds,
        "save": False,
    }


def _is_fine(flow: Flow, findings: Findings, context: dict[str, Any], errors: list[str]) -> bool:
    """Whether every rule holds; one that cannot be judged does not, and says so in `errors`."""
    fine = True
    score = flow.file.score
    if score is not None:
        found = _number(context, score.value, errors)
        context["threshold"] = score.threshold
        if found is not None:
            context["score"] = found
        fine = found is not None and found <= score.threshold
    for rule in flow.file.rules:
        fine = _holds(rule, findings, context, errors) and fine
    return fine


def _holds(rule: Rule, findings: Findings, context: dict[str, Any], errors: list[str]) -> bool:
    found: float | None
    if rule.count is not None:
        found = _count(rule.count, findings)
    else:
        found = _number(context, rule.value or "", errors)
    if found is None:
        return False
    too_few = rule.at_least is not None and found < rule.at_least
    too_many = rule.at_most is not None and found > rule.at_most
    return not (too_few or too_many)


def _count(label: str, findings: Findings) -> int:
    classes = [name for found in findings.rectangles for name in found["classNames"]]
    classes += findings.surface_classes
    return sum(label in ("*", name["label"]) for name in classes)


def _number(context: dict[str, Any], path: str, errors: list[str]) -> float | None:
    """What the context has at `key.key`; None, and an error told, where that is no number."""
    found: Any = context
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        errors.append(f"{path} is no number in this context")
        return None
    return float(found)
