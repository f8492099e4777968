"""How an analysis ends: the engine's outcome made storable, or what went wrong made a reason."""

import logging
from datetime import timedelta
from typing import Any

from opsin.core import errors
from opsin.core.annotations import validate_annotations
from opsin.core.artifacts import validate_artifacts
from opsin.core.engine import Outcome, TaskStatus
from opsin.core.errors import (
    BlobNotFound,
    Cancelled,
    ClusterLost,
    InvalidInput,
    OperationFailed,
    OpsinError,
    Overloaded,
    PluginError,
    StorageError,
)
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis
from opsin.core.similarity.embeddings import VECTOR, new_embedding
from opsin.core.storable import check_json, storable_text

log = logging.getLogger(__name__)

# Errors of the moment, not of the picture: another try may succeed.
_TRANSIENT = (Overloaded, PluginError, StorageError)
_LONGEST_RETRY = timedelta(minutes=5)
_LONGEST_MESSAGE = 2000
_CLOSED_PAUSE = timedelta(seconds=1)
UNEXPECTED = "Something unexpected failed; the server's log has the details"


def ending_of(analysis: Analysis, outcome: Outcome) -> Finished:
    """What is written for an outcome; runs the plugin's `annotations` and never raises."""
    provenance = outcome.provenance.as_json()
    if outcome.status is TaskStatus.SUCCESS and outcome.result is not None:
        try:
            found = outcome.result
            embedding = new_embedding(outcome.task, found)
            apart = None if embedding is None else {VECTOR}
            result = found.model_dump(mode="json", exclude=apart)
            check_json(result, "result")
            return Finished(
                analysis,
                AnalysisStatus.COMPLETED,
                # The declared type, which the schema knows, also when it is a subclass of it.
                result_type=outcome.task.operation.result.__name__,
                result=result,
                provenance=provenance,
                annotations=validate_annotations(list(found.annotations())),
                artifacts=validate_artifacts(found.artifacts()),
                embedding=embedding,
            )
        # The plugin's code: not even a sys.exit or a CancelledError of its own may pass.
        except KeyboardInterrupt:
            raise
        except BaseException as cause:
            log.exception("the result of %s cannot be stored", analysis.operation)
            reason = cause.message if isinstance(cause, InvalidInput) else type(cause).__name__
            failure = OperationFailed(f"The result cannot be stored: {reason}")
            return _ended(analysis, failure, provenance)
    error = outcome.error or OpsinError("The operation gave neither a result nor a reason")
    if isinstance(error, Cancelled):  # by the plugin: the engine's own is raised for all at once
        error = OperationFailed(error.message)
    return _ended(analysis, error, provenance)


def ending_after(analysis: Analysis, error: Exception) -> Finished:
    """What is written when the engine gave no outcome: a failure, or back into the queue.

    An engine that is full or closed says nothing about the analysis: it costs no attempt.
    """
    if isinstance(error, Overloaded):
        return _returned(analysis, timedelta(seconds=error.retry_after))
    if isinstance(error, Cancelled):
        return _returned(analysis, _CLOSED_PAUSE)
    if isinstance(error, OpsinError):
        return _ended(analysis, error)
    log.error("analysis %s failed unexpectedly", analysis.id, exc_info=error)
    return _ended(analysis, OpsinError(UNEXPECTED))


def _returned(analysis: Analysis, pause: timedelta) -> Finished:
    return Finished(analysis, AnalysisStatus.QUEUED, retry_after=pause, count_attempt=False)


def _ended(
    analysis: Analysis,
    error: OpsinError,
    provenance: dict[str, Any] | None = None,
) -> Finished:
    if isinstance(error, ClusterLost):  # it says nothing about the analysis either
        return _returned(analysis, timedelta(seconds=error.retry_after))
    again = isinstance(error, _TRANSIENT) and not isinstance(error, BlobNotFound)
    return Finished(
        analysis,
        AnalysisStatus.QUEUED if again else AnalysisStatus.FAILED,
        provenance=provenance,
        error_code=_code(error),
        error_message=storable_text(str(error))[:_LONGEST_MESSAGE],
        retry_after=_pause(analysis.attempts) if again else timedelta(0),
    )


def _code(error: OpsinError) -> str:
    """The code of our own class: a plugin's subclass may call itself anything."""
    return next(
        kind.code
        for kind in type(error).__mro__
        if issubclass(kind, OpsinError) and kind.__module__ == errors.__name__
    )


def _pause(attempts: int) -> timedelta:
    return min(timedelta(seconds=2.0 ** min(attempts, 20)), _LONGEST_RETRY)
