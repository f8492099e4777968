"""Every step of an analysis's life: allowed, refused, and what it changes."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from opsin.core.errors import IllegalTransition
from opsin.core.lifecycle import FINAL, AnalysisStatus, retry, step

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus

ALLOWED = {
    (QUEUED, PROCESSING),
    (QUEUED, CANCELLED),
    (PROCESSING, COMPLETED),
    (PROCESSING, FAILED),
    (PROCESSING, CANCELLED),
}
ALLOWED_TO_FINALIZE = ALLOWED | {(QUEUED, COMPLETED), (QUEUED, FAILED)}


@pytest.mark.parametrize("finalize", [False, True])
@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(AnalysisStatus, repeat=2)))
def test_every_pair(current: AnalysisStatus, wanted: AnalysisStatus, finalize: bool) -> None:
    allowed = ALLOWED_TO_FINALIZE if finalize else ALLOWED

    def take() -> object:
        return step(current, wanted, now=NOW, started_at=None, finalize=finalize)

    if current == wanted:
        assert take() is None
    elif (current, wanted) in allowed:
        assert take() is not None
    else:
        with pytest.raises(IllegalTransition, match=f"{current.lower()}->{wanted.lower()}"):
            take()


def test_processing_sets_the_start_once() -> None:
    change = step(QUEUED, PROCESSING, now=NOW, started_at=None)
    assert change is not None
    assert change.columns == {"status": "PROCESSING", "updated_at": NOW, "started_at": NOW}
    again = step(QUEUED, PROCESSING, now=NOW, started_at=EARLIER)
    assert again is not None and "started_at" not in again.columns


def test_an_end_sets_the_end_and_the_start_if_there_was_none() -> None:
    change = step(QUEUED, FAILED, now=NOW, started_at=None, error_message="no disk", finalize=True)
    assert change is not None
    assert change.columns["started_at"] == change.columns["completed_at"] == NOW
    assert change.columns["error_message"] == "no disk"


def test_cancelled_before_the_start_never_started() -> None:
    change = step(QUEUED, CANCELLED, now=NOW, started_at=None)
    assert change is not None and "started_at" not in change.columns


@pytest.mark.parametrize("status", AnalysisStatus)
def test_retry(status: AnalysisStatus) -> None:
    if status in (FAILED, CANCELLED):
        assert retry(status, now=NOW).columns["attempts"] == 0
    else:
        with pytest.raises(IllegalTransition):
            retry(status, now=NOW)


def test_the_final_ones() -> None:
    assert {status for status in AnalysisStatus if status.is_final} == FINAL
