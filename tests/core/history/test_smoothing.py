"""Smoothing by its definition: the vectors of the contract, and what holds for every history."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsin.core.errors import InvalidInput
from opsin.core.history.smoothing import (
    Sample,
    SmoothedValue,
    SmoothingMethod,
    SmoothingOptions,
    round_half_up,
    smooth,
)

MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)
HISTORY = {-20: 10, -14: 90, -13: 60, -10: 62, -7: 64, -5: 20, -3: 66, -1: 68, 0: 70}
MEAN, ROBUST, LINE = SmoothingMethod


def sample(days: float, value: float, sequence: str = "m") -> Sample:
    return Sample(MOMENT + timedelta(days=days), sequence, value)


def smoothed(
    history: dict[int, int], method: SmoothingMethod, window: int = 14, size: int = 10
) -> SmoothedValue:
    """The value at day 0 with the rest of the history, in an order of no meaning."""
    others = [sample(day, value) for day, value in history.items() if day]
    random.Random(7).shuffle(others)
    return smooth(sample(0, history[0]), others, SmoothingOptions(window, size, method))


# window, size: how many count, then mean, mean without outliers, line: exact, and rounded
VECTORS = [
    (14, 10, 7, (58.571, 59), (65, 65), (61.457, 61)),
    (14, 3, 3, (68, 68), (68, 68), (69.714, 70)),
    (7, 10, 4, (56, 56), (68, 68), (77.051, 77)),
    (30, 10, 9, (56.667, 57), (65, 65), (67.182, 67)),
    (1, 10, 1, (70, 70), (70, 70), (70, 70)),
    (14, 1, 1, (70, 70), (70, 70), (70, 70)),
]


@pytest.mark.parametrize(("window", "size", "count", "mean", "robust", "line"), VECTORS)
def test_the_vectors_of_the_definition(
    window: int,
    size: int,
    count: int,
    mean: tuple[float, int],
    robust: tuple[float, int],
    line: tuple[float, int],
) -> None:
    for method, (exact, whole) in zip(SmoothingMethod, (mean, robust, line), strict=True):
        found = smoothed(HISTORY, method, window, size)
        assert found.count == count
        assert found.value == pytest.approx(exact, abs=0.0005), method
        assert round_half_up(found.value) == whole, method


def test_a_half_is_rounded_up_and_a_line_is_held_within_the_scores() -> None:
    rising = {-3: 80, -2: 90, -1: 100, 0: 100}
    assert smoothed(rising, MEAN).value == 92.5
    assert round_half_up(smoothed(rising, MEAN).value) == 93
    assert round_half_up(smoothed(rising, ROBUST).value) == 93
    assert smoothed(rising, LINE).value == 100
    unbound = smooth(
        sample(0, 100),
        [sample(day, value) for day, value in rising.items() if day],
        SmoothingOptions(method=LINE),
        bounds=None,
    )
    assert unbound.value == pytest.approx(103)


@pytest.mark.parametrize("method", SmoothingMethod)
def test_of_two_images_at_the_same_time_there_is_a_mean_and_no_line(
    method: SmoothingMethod,
) -> None:
    found = smooth(sample(0, 61, "b"), [sample(0, 50, "a")], SmoothingOptions(method=method))
    assert (found.value, found.count, round_half_up(found.value)) == (55.5, 2, 56)


def test_the_window_is_half_open() -> None:
    options = SmoothingOptions(window_days=14)
    moment = timedelta(microseconds=1)
    exactly = Sample(MOMENT - timedelta(days=14), "a", 10)
    inside = Sample(MOMENT - timedelta(days=14) + moment, "b", 20)
    later = Sample(MOMENT + moment, "c", 30)
    found = smooth(sample(0, 40), [exactly, inside, later], options)
    assert (found.value, found.count) == (30, 2)


def test_at_equal_times_the_one_asked_for_counts_and_then_the_last_that_came() -> None:
    others = [sample(0, 10, "c"), sample(0, 20, "a"), sample(0, 30, "b"), sample(-1, 90, "z")]
    two = smooth(sample(0, 70, "0"), others, SmoothingOptions(max_size=2))
    assert (two.value, two.count) == ((70 + 10) / 2, 2)
    three = smooth(sample(0, 70, "0"), others, SmoothingOptions(max_size=3))
    assert (three.value, three.count) == ((70 + 10 + 30) / 3, 3)


def test_times_near_the_first_year_are_times() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    found = smooth(Sample(first, "b", 1.0), [Sample(first, "a", 2.0)], SmoothingOptions(365))
    assert (found.value, found.count) == (1.5, 2)


@pytest.mark.parametrize("value", [-0.5, 0.49, 0.5, 1.5, 2.5, 99.5])
def test_rounding_takes_the_greater_of_two(value: float) -> None:
    assert round_half_up(value) == math.floor(value + 0.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"window_days": 0}, "window_days must be a whole number from 1 to 365"),
        ({"window_days": 366}, "window_days must be a whole number from 1 to 365"),
        ({"window_days": 1.5}, "window_days must be a whole number from 1 to 365"),
        ({"window_days": True}, "window_days must be a whole number from 1 to 365"),
        ({"max_size": 0}, "max_size must be a whole number from 1 to 100"),
        ({"max_size": 101}, "max_size must be a whole number from 1 to 100"),
        (
            {"method": "median"},
            "method must be one of mean, mean_without_outliers, linear_approximation",
        ),
    ],
)
def test_options_out_of_range_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        SmoothingOptions(**given)  # type: ignore[arg-type]  # the wrong ones are the point


def test_whole_numbers_are_rounded_before_they_are_smoothed() -> None:
    others = [sample(-1, 59.5), sample(-2, 61.4)]
    exact = smooth(sample(0, 70.5), others, SmoothingOptions())
    assert exact.value == pytest.approx((70.5 + 59.5 + 61.4) / 3)
    whole = smooth(sample(0, 70.5), others, SmoothingOptions(whole_numbers=True))
    assert whole.value == (71 + 60 + 61) / 3


def test_a_method_may_be_given_by_its_name() -> None:
    assert SmoothingOptions(method="mean").method is MEAN  # type: ignore[arg-type]  # as doors have it


UNHURRIED = settings(deadline=None)  # machines are shared
VALUES = st.floats(-1e6, 1e6)
SAMPLES = st.builds(
    Sample,
    # A few days only, so that equal times and the window's ends are common.
    st.sampled_from(range(-400, 3)).map(lambda quarter: MOMENT + timedelta(days=quarter / 4)),
    st.uuids().map(str),
    VALUES,
)
OPTIONS = st.builds(
    SmoothingOptions, st.integers(1, 365), st.integers(1, 100), st.sampled_from(SmoothingMethod)
)


@UNHURRIED
@given(VALUES, st.lists(SAMPLES, unique_by=lambda s: s.sequence), OPTIONS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(
    value: float, others: list[Sample], options: SmoothingOptions, order: random.Random
) -> None:
    target = sample(0, value)
    before = smooth(target, others, options, None)
    order.shuffle(others)
    assert smooth(target, others, options, None) == before


@UNHURRIED
@given(VALUES, st.lists(SAMPLES), OPTIONS)
def test_a_mean_is_within_the_range_of_the_values_and_a_line_within_its_bounds(
    value: float, others: list[Sample], options: SmoothingOptions
) -> None:
    found = smooth(sample(0, value), others, options, (-5.0, 5.0))
    if options.method is SmoothingMethod.LINEAR_APPROXIMATION:
        assert -5 <= found.value <= 5
    else:
        values = [value, *(one.value for one in others)]
        assert min(values) <= found.value <= max(values)
    assert 1 <= found.count <= min(len(others) + 1, options.max_size)


@UNHURRIED
@given(VALUES, st.lists(SAMPLES), st.lists(SAMPLES), OPTIONS)
def test_later_images_never_change_an_answer(
    value: float, others: list[Sample], more: list[Sample], options: SmoothingOptions
) -> None:
    target = sample(0, value)
    later = [
        Sample(MOMENT + abs(one.at - MOMENT) + timedelta(microseconds=1), one.sequence, one.value)
        for one in more
    ]
    assert smooth(target, others + later, options) == smooth(target, others, options)


@UNHURRIED
@given(st.floats(0, 100), st.lists(st.integers(-300, -1), min_size=1, unique=True), OPTIONS)
def test_what_never_changes_stays_as_it_is(
    value: float, days: list[int], options: SmoothingOptions
) -> None:
    others = [sample(day, value) for day in days]
    assert smooth(sample(0, value), others, options).value == pytest.approx(value)


@UNHURRIED
@given(st.floats(-1, 1), st.floats(20, 80), st.lists(st.integers(-13, -1), min_size=1, unique=True))
def test_a_line_is_found_again(slope: float, level: float, days: list[int]) -> None:
    others = [sample(day, level + slope * day) for day in days]
    options = SmoothingOptions(14, 100, SmoothingMethod.LINEAR_APPROXIMATION)
    assert smooth(sample(0, level), others, options).value == pytest.approx(level)
