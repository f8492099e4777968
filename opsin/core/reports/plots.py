"""Plots of a measure's history, as PNG; drawn without pyplot, whose state everybody shares."""

import io
import threading
from collections.abc import Sequence
from datetime import date

from opsin.core.history.smoothing import Sample, SmoothingOptions, smooth
from opsin.core.reports.contents import Point

_DOTS_PER_INCH = 220
_MILLIMETRES = 25.4  # in an inch
_SCORES = (0, 100)
_FIRST_DAY, _LAST_DAY = ((one - date(1970, 1, 1)).days for one in (date.min, date.max))
_GREY, _PALE = "#5b6470", "#e3e6ea"
_MANY = 60
"""From so many points on dots are small."""

_lock = threading.Lock()
"""Matplotlib promises nothing to two threads, also where they share no figure."""


def plot(
    points: Sequence[Point], *, is_score: bool, colour: str, width: float, height: float
) -> bytes:
    """Dots for pictures (oldest first), a line for their means, of so many millimetres.

    The same points give the same bytes.
    """
    with _lock:
        return _plot(points, is_score, colour, width, height)


def means(points: Sequence[Point]) -> list[float]:
    """For each point the mean of the newest that end with it, as smoothing has it by default."""
    options = SmoothingOptions()
    samples = [Sample(one.at, f"{place:09}", one.number) for place, one in enumerate(points)]
    most = options.max_size
    return [
        smooth(one, samples[max(0, place - most + 1) : place], options).value
        for place, one in enumerate(samples)
    ]


def _between(days: Sequence[float]) -> tuple[float, float]:
    """Where the axis of time begins and ends: a twentieth beyond the days, and a day at least.

    A day of Matplotlib is 1 at the beginning of 1970-01-02; it knows none before the year 1 and
    none after 9999, and whoever takes pictures may say any time.
    """
    beyond = max((days[-1] - days[0]) / 20, 0.5 if days[-1] - days[0] < 1 else 0.0)
    return max(days[0] - beyond, _FIRST_DAY), min(days[-1] + beyond, _LAST_DAY)


def _plot(
    points: Sequence[Point], is_score: bool, colour: str, width: float, height: float
) -> bytes:
    # Here, because they take a second to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _MILLIMETRES, height / _MILLIMETRES), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((9 / width, 7.5 / height, 1 - 12 / width, 1 - 10 / height))
    # Matplotlib has no types here.
    days = [float(date2num(one.at)) for one in points]  # type: ignore[no-untyped-call]
    numbers = [one.number for one in points]
    axes.plot(days, means(points), color=colour, linewidth=1.1, solid_joinstyle="round")
    size = 2.6 if len(points) < _MANY else 1.6
    axes.plot(days, numbers, "o", color=colour, alpha=0.45, markersize=size, markeredgewidth=0)
    axes.plot(days[-1:], numbers[-1:], "o", color=colour, markersize=3.6, markeredgewidth=0)
    if is_score:
        axes.set_ylim(*_SCORES)
        axes.set_yticks([0, 50, 100])
    else:
        axes.locator_params(axis="y", nbins=3)
        axes.margins(y=0.15)
    axes.set_xlim(*_between(days))
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.xaxis.get_offset_text().set_fontsize(5.5)
    axes.xaxis.get_offset_text().set_color(_GREY)
    axes.tick_params(labelsize=5.5, colors=_GREY, length=2, width=0.4, pad=1.5)
    axes.grid(axis="y", color=_PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#aab2bd")
        axes.spines[side].set_linewidth(0.5)
    file = io.BytesIO()
    # Without the library's version in it.
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
