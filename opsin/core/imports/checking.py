"""Findings checked as those of any pipeline are; here a bad one is left out and told of."""

from collections.abc import Callable, Sequence
from typing import Any

from opsin.core.checked_annotations import CheckedAnnotations, Row, check_annotations
from opsin.core.errors import InvalidInput
from opsin.core.imports.found import Place, Refusals


def check_each(
    fields: Sequence[dict[str, Any]], place: Callable[[int], Place], refusals: Refusals
) -> CheckedAnnotations:
    """The good ones, in their order; each bad one goes to `refusals`, `place` says where it is."""
    try:
        return check_annotations(fields)
    except InvalidInput:
        pass
    rows: list[Row] = []
    for number, one in enumerate(fields):
        try:
            rows += check_annotations([one]).rows
        except InvalidInput as error:
            reason = error.message.removeprefix("annotation 0: ")
            refusals.add(lambda number=number: place(number), reason)  # type: ignore[misc]  # binds now
    return CheckedAnnotations(rows)
