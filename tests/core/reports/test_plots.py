"""Plots of histories: what they show, also of one point, of none apart, of many."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from opsin.core.history.smoothing import Sample, SmoothingOptions, smooth
from opsin.core.reports.contents import Point
from opsin.core.reports.plots import means, plot
from tests.core.history.rows import MOMENT

COLOUR = "#d53d2c"
FIRST, LAST = (one.replace(tzinfo=UTC) for one in (datetime.min, datetime.max))
"""Callers say when their pictures were taken, and may say anything."""


def points(*given: tuple[float, float]) -> list[Point]:
    return [Point(MOMENT + timedelta(days=day), number) for day, number in given]


def drawn(given: Sequence[Point], *, is_score: bool = True) -> bytes:
    return plot(given, is_score=is_score, colour=COLOUR, width=174, height=24)


def coloured_rows(content: bytes) -> tuple[float, float]:
    """Where the plot's colour begins and ends, in parts of its height from below."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    rows = np.nonzero(((pixels[:, :, 0] - pixels[:, :, 1]) > 60).any(axis=1))[0]
    height = len(pixels)
    return (height - rows.max()) / height, (height - rows.min()) / height


def test_scores_are_shown_between_0_and_100() -> None:
    low, high = coloured_rows(drawn(points((-2, 0), (-1, 0), (0, 0))))
    upper = coloured_rows(drawn(points((-2, 100), (-1, 100), (0, 100))))
    middle = coloured_rows(drawn(points((-2, 50), (-1, 50), (0, 50))))
    assert high < middle[0] < middle[1] < upper[0]
    # Values of their own range fill the plot, wherever they lie.
    own = coloured_rows(drawn(points((-1, 1000.0), (0, 1001.0)), is_score=False))
    assert own[1] - own[0] > 0.3 > high - low


@pytest.mark.parametrize(
    "given",
    [
        points((0, 50), (0, 50)),
        points((-3000, 1), (0, 99)),
        points(*((-day / 100, day % 100) for day in range(600, -1, -1))),
        [Point(FIRST, 50)],
        [Point(LAST, 50)],
        [Point(FIRST, 1), Point(LAST, 99)],
    ],
    ids=["at one time", "years apart", "many", "first of all", "last of all", "all of time"],
)
def test_every_history_is_drawn_and_the_same_way_on_every_thread(given: list[Point]) -> None:
    first = drawn(given)
    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(lambda _: drawn(given), range(4))) == {first}
    assert Image.open(io.BytesIO(first)).size == pytest.approx((1507, 208), abs=2)


def test_the_line_is_what_smoothing_answers_for_each_picture() -> None:
    given = points(*((-number * 0.7, number * 37 % 100) for number in range(40, -1, -1)))
    samples = [Sample(one.at, f"{place:09}", one.number) for place, one in enumerate(given)]
    wanted = [
        smooth(one, [other for other in samples if other is not one], SmoothingOptions()).value
        for one in samples
    ]
    assert means(given) == wanted
