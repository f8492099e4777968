"""The life of an analysis: which status may follow which, and what entering one changes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from opsin.core.errors import IllegalTransition


class AnalysisStatus(StrEnum):
    """Where an analysis is in its life; the last three are final."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in FINAL


_QUEUED, _PROCESSING, _COMPLETED, _FAILED, _CANCELLED = AnalysisStatus
FINAL = frozenset({_COMPLETED, _FAILED, _CANCELLED})

_NEXT = {
    _QUEUED: frozenset({_PROCESSING, _CANCELLED}),
    _PROCESSING: frozenset({_COMPLETED, _FAILED, _CANCELLED}),
}
# A pipeline may finish what it never said it had begun.
_FINALIZE_NEXT = {**_NEXT, _QUEUED: frozenset({_PROCESSING, *FINAL})}
_RETRYABLE = frozenset({_FAILED, _CANCELLED})


@dataclass(frozen=True, slots=True)
class Change:
    """Columns to write for one step of the life."""

    status: AnalysisStatus
    columns: dict[str, Any]


def step(
    current: AnalysisStatus,
    wanted: AnalysisStatus,
    *,
    now: datetime,
    started_at: datetime | None,
    error_message: str | None = None,
    finalize: bool = False,
) -> Change | None:
    """The change that leads from `current` to `wanted`; None when it is there already.

    Raises IllegalTransition for a step that is not allowed.
    """
    if current == wanted:
        return None
    allowed = (_FINALIZE_NEXT if finalize else _NEXT).get(current, frozenset())
    if wanted not in allowed:
        raise IllegalTransition(f"Illegal transition {current.lower()}->{wanted.lower()}")
    columns: dict[str, Any] = {"status": wanted.value, "updated_at": now}
    if started_at is None and wanted != _CANCELLED:
        columns["started_at"] = now
    if wanted in FINAL:
        columns["completed_at"] = now
    if error_message:
        columns["error_message"] = error_message
    return Change(wanted, columns)


def retry(current: AnalysisStatus, *, now: datetime) -> Change:
    """The change that puts a failed or cancelled analysis back into the queue."""
    if current not in _RETRYABLE:
        raise IllegalTransition(f"Only a failed or cancelled analysis is retried, not {current}")
    return Change(
        _QUEUED,
        {
            "status": _QUEUED.value,
            "attempts": 0,
            "available_at": now,
            "updated_at": now,
            "started_at": None,
            "completed_at": None,
            "error_code": None,
            "error_message": None,
        },
    )
