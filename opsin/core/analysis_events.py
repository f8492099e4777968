"""The events that tell of an analysis: its statuses, and what a running one has written."""

from typing import Any

from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis
from opsin.core.storable import storable_text
from opsin.storage.event_log import NewEvent


def status_event(
    analysis: Analysis, status: AnalysisStatus, data: dict[str, Any] | None = None
) -> NewEvent:
    """The event that tells of an analysis entering `status`."""
    return _event(status.lower(), analysis, status, data or {})


def progress_event(analysis: Analysis, text: str) -> NewEvent:
    """The event that tells what a running analysis has written so far."""
    return _event("progress", analysis, AnalysisStatus.PROCESSING, {"text": storable_text(text)})


def _event(kind: str, analysis: Analysis, status: AnalysisStatus, data: dict[str, Any]) -> NewEvent:
    return NewEvent(
        f"analysis.{kind}",
        analysis.company_id,
        dataset_id=analysis.dataset_id,
        image_id=analysis.image_id,
        analysis_id=analysis.id,
        data={"status": status.value} | data,
    )
