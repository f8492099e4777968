"""The steps of an application: what they must be, in which order they go, what one lacks."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from opsin.core.contract import Step

MOST_STEPS = 100
_LONGEST_KEY = 255
_KEY = re.compile(r"[\w.:/-]+")


def problem_of(steps: Sequence[Any]) -> str | None:
    """What is wrong with them, whatever operations there are; None for what can be carried out."""
    if not 1 <= len(steps) <= MOST_STEPS:
        return f"an application has 1 to {MOST_STEPS} steps"
    for step in steps:
        if not isinstance(step, Step):
            return f"expected Step, got {type(step).__name__}"
        if not is_key(step.key):
            return "the key of a step has 1 to 255 letters, digits, and any of . _ : / -"
        if not is_key(step.operation):
            return f"step {step.key!r}: `operation` must be the name of an operation"
    keys = [step.key for step in steps]
    if len(set(keys)) != len(keys):
        return "two steps have the same key"
    for step in steps:
        for needed in step.requires:
            if needed not in keys:
                return f"step {step.key!r} requires {str(needed)[:60]!r}, which is no step"
    if len(in_order(steps)) != len(steps):
        return "steps require each other in a circle"
    return None


def is_key(text: object) -> bool:
    """Whether it is a text that can be the key of a step."""
    if not isinstance(text, str):
        return False
    return len(text) <= _LONGEST_KEY and _KEY.fullmatch(text) is not None


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Each step behind those that it requires, else as given; those of a circle are left out."""
    ordered: dict[str, Step] = {}
    waiting = list(steps)
    while waiting:
        free = next((s for s in waiting if all(key in ordered for key in s.requires)), None)
        if free is None:
            break
        ordered[free.key] = free
        waiting.remove(free)
    return tuple(ordered.values())


def missing_prerequisites(steps: Sequence[Step], enabled: Collection[str]) -> dict[str, str]:
    """For each enabled step that cannot be done: the step that it requires and that is not there.

    Also where that is required by what it requires.
    """
    missing: dict[str, str] = {}
    for step in in_order(steps):
        if step.key not in enabled:
            continue
        for key in step.requires:
            lacking = key if key not in enabled else missing.get(key)
            if lacking is not None:
                missing[step.key] = lacking
                break
    return missing
