"""Opsin's own metric families: what one process tells, and what one tells for all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from opsin import __version__
from opsin.core.answers.answers import Answers
from opsin.core.backlog import Backlog
from opsin.core.engine import Engine
from opsin.core.events import Events
from opsin.core.loop_lag import LoopLag
from opsin.core.queue.worker import Worker
from opsin.core.recording import Recorder
from opsin.core.request_counts import RequestCounts
from opsin.core.watched_blobs import BlobCounts
from opsin.core.webhooks.sender import Sender
from opsin.storage.database import Database
from opsin.web.engine_metrics import engine_families
from opsin.web.metric_families import (
    counted,
    counter,
    counters,
    gauge,
    gauges,
    histogram,
    histograms,
)


class ReadCounts(Protocol):
    """What the compiler of GraphQL reads has done."""

    @property
    def compiled(self) -> int: ...
    @property
    def ordinary(self) -> int: ...
    @property
    def planned(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the numbers of one process come from."""

    engine: Engine
    answers: Answers
    events: Events
    database: Database
    blobs: BlobCounts
    worker: Worker
    sender: Sender
    recorder: Recorder | None = None
    """None where calls are not recorded."""
    requests: RequestCounts = field(default_factory=RequestCounts)
    reads: ReadCounts | None = None
    """None where no GraphQL is served."""
    lag: LoopLag = field(default_factory=LoopLag)

    def families(self) -> Iterator[Metric]:
        """What this process has done and has before it."""
        yield gauges(
            "opsin_build_info", "The version that runs.", ["version"], [([__version__], 1.0)]
        )
        yield from _requests(self.requests)
        yield from engine_families(self.engine, self.answers)
        if self.reads is not None:
            yield from _reads(self.reads)
        yield from _worker(self.worker)
        yield from _events(self.events)
        yield from _sender(self.sender)
        yield from _blobs(self.blobs)
        if self.recorder is not None:
            yield from _recording(self.recorder)
        yield gauges(
            "opsin_database_connections",
            "Connections to the database: in use, and how many there may be.",
            ["pool", "state"],
            [
                ([pool, state], number)
                for pool, numbers in self.database.pool_use().items()
                for state, number in zip(("in_use", "most"), numbers, strict=True)
            ],
        )
        yield histogram(
            "opsin_event_loop_lag_seconds",
            "How late the event loop is, looked at four times a second.",
            self.lag.seconds,
        )
        yield from _PROCESS.collect()


_ENDINGS = ("COMPLETED", "FAILED", "CANCELLED", "QUEUED")
_PROCESS = ProcessCollector(registry=None)
"""Memory, file handles and processor time, under the names that every client has for them."""


def backlog_families(backlog: Backlog) -> Iterator[Metric]:
    """What the database tells: the same whoever is asked, so that no two of them are added up."""
    queue = backlog.queue
    yield gauges(
        "opsin_analyses",
        "Analyses of the queue, of all companies.",
        ["status"],
        [(["queued"], queue.queued), (["processing"], queue.processing)],
    )
    yield gauge(
        "opsin_oldest_queued_seconds",
        "How long the oldest waiting analysis has waited.",
        queue.oldest_seconds,
    )
    yield gauges(
        "opsin_queue_depth",
        "Analyses of the queue by operation and urgency; only of those that it has.",
        ["status", "operation", "urgency"],
        [
            ([status, part.operation, part.urgency], getattr(part, status))
            for part in queue.parts
            for status in ("queued", "processing")
        ],
    )
    yield gauges(
        "opsin_queue_oldest_seconds",
        "How long the oldest waiting analysis of an operation and urgency has waited.",
        ["operation", "urgency"],
        [([part.operation, part.urgency], part.oldest_seconds) for part in queue.parts],
    )
    yield gauge("opsin_event_log_end", "The last position of the event log.", backlog.log_end)
    yield gauges(
        "opsin_webhook_deliveries",
        "Deliveries that failed: to be sent again, or given up.",
        ["status"],
        [
            (["pending"], backlog.deliveries_pending),
            (["failed"], backlog.deliveries_failed),
        ],
    )
    yield gauges(
        "opsin_webhooks",
        "Webhooks, by how they stand; failing ones are active, too.",
        ["state"],
        [
            (["active"], backlog.webhooks_active),
            (["failing"], backlog.webhooks_failing),
            (["paused"], backlog.webhooks_paused),
        ],
    )
    yield gauge(
        "opsin_webhook_events_behind",
        "Lines of the log that the webhook farthest behind has not looked at.",
        backlog.events_behind,
    )


def _requests(counts: RequestCounts) -> Iterator[Metric]:
    yield counters(
        "opsin_http_responses",
        "HTTP requests that were answered.",
        ["route", "status"],
        [
            ([route, str(status)], count)
            for (route, status), count in sorted(counts.answers.items())
        ],
    )
    yield histograms(
        "opsin_http_first_byte_seconds",
        "Time until an answer begins.",
        "route",
        dict(sorted(counts.durations.items())),
    )
    yield gauge("opsin_http_running", "Requests that have not ended.", counts.running)
    yield gauges(
        "opsin_websockets",
        "WebSockets that are open.",
        ["route"],
        [([route], count) for route, count in sorted(counts.sockets.items())],
    )


def _reads(counts: ReadCounts) -> Iterator[Metric]:
    yield counted(
        "opsin_graphql_reads",
        "Root fields of GraphQL queries: read in one statement, or by resolvers.",
        "way",
        {"compiled": counts.compiled, "ordinary": counts.ordinary},
    )
    yield counter(
        "opsin_graphql_plans_made",
        "Plans of queries that were made; the others were there already.",
        counts.planned,
    )


def _worker(worker: Worker) -> Iterator[Metric]:
    counts = worker.counts
    yield counter("opsin_queue_claims", "Claims that took analyses.", counts.claims)
    yield counter("opsin_queue_claimed", "Analyses that were claimed.", counts.claimed)
    yield histogram(
        "opsin_queue_wait_seconds",
        "From when an analysis is asked for until it is claimed first.",
        counts.waited,
    )
    yield counted(
        "opsin_queue_endings",
        "Analyses whose ending was written; queued: given back.",
        "status",
        {status.lower(): counts.endings[status] for status in _ENDINGS},
    )
    yield counter(
        "opsin_queue_dropped",
        "Results dropped, because the lease had been lost or the analysis cancelled.",
        counts.dropped,
    )
    yield counter(
        "opsin_queue_recovered",
        "Analyses taken from workers that had gone silent.",
        counts.recovered,
    )
    yield gauge("opsin_queue_in_hand", "Analyses claimed and not yet ended.", worker.in_hand)


def _events(events: Events) -> Iterator[Metric]:
    yield gauge("opsin_event_followers", "Who follows the event log now.", events.followers)
    yield histogram(
        "opsin_event_delay_seconds",
        "From an event until it is read for those who follow.",
        events.delays,
    )
    if events.read_to is not None:
        yield gauge("opsin_event_position", "How far the log was read for them.", events.read_to)


def _sender(sender: Sender) -> Iterator[Metric]:
    counts = sender.counts
    outcomes = ("delivered", "refused", "unanswered")
    yield counted(
        "opsin_webhook_attempts",
        "Attempts to deliver an event to a webhook.",
        "outcome",
        {outcome: counts.attempts[outcome] for outcome in outcomes},
    )
    yield histogram(
        "opsin_webhook_attempt_seconds", "One attempt, up to the answer.", counts.seconds
    )
    yield counter("opsin_webhook_given_up", "Deliveries that are not tried again.", counts.given_up)
    yield counter("opsin_webhook_pauses", "Webhooks paused for failing.", counts.paused)


def _blobs(counts: BlobCounts) -> Iterator[Metric]:
    yield histograms(
        "opsin_blob_seconds",
        "What was asked of the blob store; a read up to its first bytes.",
        "request",
        dict(sorted(counts.seconds.items())),
    )
    yield counted(
        "opsin_blob_failures", "Requests to the blob store that failed.", "request", counts.failures
    )
    yield counted(
        "opsin_blob_bytes",
        "Bytes of blobs.",
        "direction",
        {"read": counts.read_bytes, "written": counts.written_bytes},
    )


def _recording(recorder: Recorder) -> Iterator[Metric]:
    counts = recorder.counts
    yield counted(
        "opsin_recorded_calls",
        "Calls that were to be recorded, by what became of them.",
        "outcome",
        {"recorded": counts.recorded, "dropped": counts.dropped, "failed": counts.failed},
    )
    yield gauge("opsin_calls_to_record", "Calls that wait to be recorded.", recorder.waiting)
