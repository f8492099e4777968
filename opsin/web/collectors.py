"""Opsin's own metric families: requests, answers, the engine's queues and memory, the analyses."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from opsin.core.answers.answers import Answers
from opsin.core.engine import Engine
from opsin.core.engine.bounded_cache import CacheCounts
from opsin.core.engine.statistics import RunnerStatistics
from opsin.core.queue.depth import QueueDepth
from opsin.core.recording import Recorder
from opsin.core.request_counts import BOUNDS, RequestCounts


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the numbers come from; `reads` are GraphQL's root fields by how they were read."""

    engine: Engine
    answers: Answers
    requests: RequestCounts
    reads: Callable[[], Mapping[str, int]]
    recorder: Recorder | None = None
    """None where calls are not recorded."""


class HouseCollector(Collector):
    """Reads counters that are kept anyway; `queue` is what was last read of the database."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.queue: QueueDepth | None = None
        """None while the database does not answer."""

    def collect(self) -> Iterator[Metric]:
        yield from _requests(self.figures.requests)
        yield from _knowledge(self.figures)
        yield from _memory(self.figures.engine)
        yield from _runners(self.figures.engine.statistics())
        if self.figures.recorder is not None:
            yield from _recording(self.figures.recorder)
        if self.queue is not None:
            yield from _queue(self.queue)


def _recording(recorder: Recorder) -> Iterator[Metric]:
    counts = recorder.counts
    yield _counter(
        "opsin_recorded_calls",
        "Calls that were to be recorded, by what became of them.",
        "outcome",
        {"recorded": counts.recorded, "dropped": counts.dropped, "failed": counts.failed},
    )
    yield GaugeMetricFamily(
        "opsin_calls_to_record", "Calls that wait to be recorded.", recorder.waiting
    )


def _requests(counts: RequestCounts) -> Iterator[Metric]:
    statuses = CounterMetricFamily(
        "opsin_http_responses", "HTTP requests that were answered.", labels=["status"]
    )
    for status, count in sorted(counts.statuses.items()):
        statuses.add_metric([str(status)], count)
    yield statuses
    buckets, below = [], 0
    for bound, count in zip((*BOUNDS, "+Inf"), counts.durations, strict=True):
        below += count
        buckets.append((str(bound), float(below)))
    durations = HistogramMetricFamily(
        "opsin_http_first_byte_seconds", "Time until an answer begins."
    )
    durations.add_metric([], buckets, counts.seconds)
    yield durations


def _knowledge(figures: Figures) -> Iterator[Metric]:
    """What was not done again, because it had been done."""
    answers, engine = figures.answers.counts, figures.engine
    yield _counter(
        "opsin_answers",
        "Tasks, by how they were answered; inputs: inputs of tasks, taken from earlier answers.",
        "by",
        {
            "memory": answers.memory,
            "stored": answers.stored,
            "shared": answers.shared,
            "computed": answers.computed,
            "inputs": answers.inputs,
        },
    )
    yield _counter(
        "opsin_pictures",
        "Pictures of a known content, by where their pixels were: kept, under way, to be decoded.",
        "pixels",
        _cached(engine.picture_counts),
    )
    yield _counter(
        "opsin_regions",
        "Regions of pictures, by where they were: kept, under way, to be looked for.",
        "region",
        _cached(engine.regions.counts),
    )
    yield _counter(
        "opsin_graphql_reads",
        "Root fields of GraphQL queries: read in one statement, or by resolvers.",
        "way",
        figures.reads(),
    )


def _cached(counts: CacheCounts) -> dict[str, int]:
    return {"kept": counts.hits, "under_way": counts.shared, "made": counts.misses}


def _memory(engine: Engine) -> Iterator[Metric]:
    used = GaugeMetricFamily("opsin_model_bytes", "Memory of models.", labels=["device"])
    limit = GaugeMetricFamily(
        "opsin_model_bytes_limit", "Memory that models may take.", labels=["device"]
    )
    for one in engine.memory_statistics():
        used.add_metric([one.device], one.used_bytes)
        limit.add_metric([one.device], one.limit_bytes)
    yield used
    yield limit


def _runners(statistics: Iterable[RunnerStatistics]) -> Iterator[Metric]:
    runners = tuple(statistics)
    for name, text in (
        ("queued", "Items that wait for a batch."),
        ("running", "Items in a batch now."),
        ("largest_batch", "Items that may share a batch now."),
        ("bytes", "Memory of its models, shared ones included."),
    ):
        gauge = GaugeMetricFamily(f"opsin_runner_{name}", text, labels=["runner", "device"])
        for one in runners:
            gauge.add_metric([one.name, one.device or ""], getattr(one, name))
        yield gauge
    for name, text in (
        ("batches", "Batches that were run."),
        ("items", "Items in them; by batches, the mean size of a batch."),
        ("loads", "Times it was loaded."),
        ("evictions", "Times it made way for others."),
    ):
        counter = CounterMetricFamily(f"opsin_runner_{name}", text, labels=["runner"])
        for one in runners:
            counter.add_metric([one.name], getattr(one, name))
        yield counter


def _queue(depth: QueueDepth) -> Iterator[Metric]:
    analyses = GaugeMetricFamily(
        "opsin_analyses", "Analyses of the queue, of all companies.", labels=["status"]
    )
    analyses.add_metric(["queued"], depth.queued)
    analyses.add_metric(["processing"], depth.processing)
    yield analyses
    yield GaugeMetricFamily(
        "opsin_oldest_queued_seconds",
        "How long the oldest waiting analysis has waited.",
        value=depth.oldest_seconds,
    )


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
