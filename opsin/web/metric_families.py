"""Families of metrics, from numbers that are kept anyway."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from opsin.core.histogram import Histogram

Labelled = Iterable[tuple[Sequence[str], float]]
"""Values of the labels, and the number that they have."""


def counter(name: str, text: str, value: float) -> Metric:
    """A number that only grows; its name is told with `_total`."""
    return CounterMetricFamily(name, text, value)


def counters(name: str, text: str, labels: Sequence[str], values: Labelled) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


def counted(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter by one label."""
    return counters(name, text, [label], (([key], value) for key, value in values.items()))


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def gauges(name: str, text: str, labels: Sequence[str], values: Labelled) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


def histogram(name: str, text: str, values: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text)
    family.add_metric([], list(values.buckets()), values.sum)
    return family


def histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    """A histogram by one label."""
    family = HistogramMetricFamily(name, text, labels=[label])
    for key, one in values.items():
        family.add_metric([key], list(one.buckets()), one.sum)
    return family
