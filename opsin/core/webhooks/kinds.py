"""The kinds of events that a webhook can ask for."""

from collections.abc import Iterable
from typing import Final

from opsin.core.errors import InvalidInput

KINDS: Final = (
    "analysis.queued",
    "analysis.processing",
    "analysis.progress",
    "analysis.annotated",
    "analysis.artifact_stored",
    "analysis.completed",
    "analysis.failed",
    "analysis.cancelled",
    "image.created",
    "image.deleted",
    "image.file_deleted",
    "image.results_deleted",
    "dataset.created",
    "dataset.updated",
    "dataset.deleted",
    "subject.created",
    "subject.updated",
    "subject.deleted",
    "batch.created",
    "batch.deleted",
    "run.created",
    "run.updated",
    "run.completed",
    "collection.created",
    "collection.deleted",
    "collection.members_added",
    "collection.members_removed",
    "prediction.rejected",
    "prediction.batch_completed",
    "webhook.created",
    "webhook.updated",
    "webhook.paused",
    "webhook.deleted",
)
"""Every kind that is ever written to the log."""

PING: Final = "webhook.ping"
"""Sent to try a webhook; in no log."""


def checked_kinds(kinds: Iterable[str], more: Iterable[str] = ()) -> tuple[str, ...]:
    """The kinds in the log's own order, each once; InvalidInput for none and for unknown ones.

    `more` are those that only a webhook of some format can ask for.
    """
    wanted, known = set(kinds), [*KINDS, *more]
    if not wanted:
        raise InvalidInput("a webhook needs at least one kind of event")
    if unknown := sorted(wanted.difference(known)):
        raise InvalidInput(f"there are no events of the kind {unknown[0]!r}")
    return tuple(kind for kind in known if kind in wanted)
