"""Metrics of the engine: what is known already, runners and their batches, memory, devices."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from opsin.core.answers.answers import Answers
from opsin.core.bounded_cache import CacheCounts
from opsin.core.engine import Engine
from opsin.core.engine.statistics import RunnerStatistics
from opsin.web.metric_families import counted, counters, gauges, histograms


def engine_families(engine: Engine, answers: Answers) -> Iterator[Metric]:
    """All of them; a runner is named as in messages, `operation 'caption'`."""
    yield from _knowledge(engine, answers)
    yield from _memory(engine)
    runners = engine.statistics()
    yield from _runners(runners)
    yield from _batches(runners)


def _knowledge(engine: Engine, answers: Answers) -> Iterator[Metric]:
    """What was not done again, because it had been done."""
    counts = answers.counts
    yield counted(
        "opsin_answers",
        "Tasks, by how they were answered; inputs: inputs of tasks, taken from earlier answers.",
        "by",
        {
            "memory": counts.memory,
            "stored": counts.stored,
            "shared": counts.shared,
            "computed": counts.computed,
            "inputs": counts.inputs,
        },
    )
    yield counted(
        "opsin_pictures",
        "Pictures of a known content, by where their pixels were: kept, under way, to be decoded.",
        "pixels",
        _cached(engine.picture_counts),
    )
    yield counted(
        "opsin_regions",
        "Regions of pictures, by where they were: kept, under way, to be looked for.",
        "region",
        _cached(engine.regions.counts),
    )


def _cached(counts: CacheCounts) -> dict[str, float]:
    return {"kept": counts.hits, "under_way": counts.shared, "made": counts.misses}


def _memory(engine: Engine) -> Iterator[Metric]:
    devices = engine.memory_statistics()
    yield gauges(
        "opsin_model_bytes",
        "Memory of models.",
        ["device"],
        (([one.device], one.used_bytes) for one in devices),
    )
    yield gauges(
        "opsin_model_bytes_limit",
        "Memory that models may take.",
        ["device"],
        (([one.device], one.limit_bytes) for one in devices),
    )


def _runners(runners: Sequence[RunnerStatistics]) -> Iterator[Metric]:
    for name, text in (
        ("queued", "Items that wait for a batch."),
        ("running", "Items in a batch now."),
        ("largest_batch", "Items that may share a batch now."),
        ("bytes", "Memory of its models, shared ones included."),
        ("replicas", "Processes of a cluster that run its batches; 0 where they run here."),
    ):
        values = [([one.name, one.device or ""], getattr(one, name)) for one in runners]
        yield gauges(f"opsin_runner_{name}", text, ["runner", "device"], values)
    for name, text in (
        ("batches", "Batches that were run."),
        ("items", "Items in them; by batches, the mean size of a batch."),
        ("loads", "Times it was loaded."),
        ("evictions", "Times it made way for others."),
        ("lost", "Times a process of a cluster that ran it ended though nobody told it to."),
    ):
        yield counted(
            f"opsin_runner_{name}",
            text,
            "runner",
            {one.name: getattr(one, name) for one in runners},
        )
    yield counted(
        "opsin_runner_load_failures",
        "Loads that failed.",
        "runner",
        {one.name: one.figures.load_failures for one in runners},
    )


def _batches(runners: Sequence[RunnerStatistics]) -> Iterator[Metric]:
    for name, text, member in (
        ("batch_size", "Items that were run together.", "batch_sizes"),
        ("wait_seconds", "From when an item is queued until its batch begins.", "waited"),
        ("prepare_seconds", "The preparation of an item, on the pool.", "prepared"),
        ("run_seconds", "A batch in the runner.", "ran"),
        ("load_seconds", "A load, of those that failed too.", "loaded"),
    ):
        spread = {one.name: getattr(one.figures, member) for one in runners}
        yield histograms(f"opsin_runner_{name}", text, "runner", spread)
    busy: dict[str, float] = defaultdict(float)
    for one in runners:
        for device, seconds in one.figures.busy.items():
            busy[device] += seconds
    yield counters(
        "opsin_device_busy_seconds",
        "Seconds of batches; for a device a second of them each second is all it can do.",
        ["device"],
        (([device], seconds) for device, seconds in busy.items()),
    )
