"""Numbers of a measure as a table: areas by numbers where all areas have the same, else a list."""

from collections.abc import Sequence

from opsin.core.reports.canvas import GREY, INK, PALE, Canvas
from opsin.core.reports.contents import Area, Measure, Metric
from opsin.core.reports.scores import draw_bar
from opsin.core.reports.wording import number_text, plain_value, unit_text, value_text

ROW = 4.5
"""Millimetres of a row."""
_SMALL, _TEXT = 6.5, 7.5
_AREA, _MAIN, _BAR, _SCORE = 28.0, 18.0, 13.0, 8.0
_NARROWEST = 13.0
"""A column of fewer millimetres is none."""


def table_height(canvas: Canvas, measure: Measure, width: float) -> float:
    """What `draw_table` takes on one page."""
    rows = sum(len(area.metrics) for area in measure.areas)
    if _is_grid(measure.areas, width):
        return _header_height(canvas, measure.areas[0], width) + ROW * len(measure.areas)
    return ROW * rows


def draw_table(canvas: Canvas, measure: Measure, x: float, width: float) -> bool:
    """All numbers of a measure from `canvas.y` on; tells whether a page ended in them."""
    turned = False
    if _is_grid(measure.areas, width):
        _header(canvas, measure.areas[0], x, width)
        for area in measure.areas:
            if canvas.room(ROW):
                turned = True
                _header(canvas, measure.areas[0], x, width)
            _grid_row(canvas, area, x, width)
            canvas.y += ROW
        return turned
    named = any(area.name for area in measure.areas)
    for area in measure.areas:
        for place, metric in enumerate(area.metrics):
            turned |= canvas.room(ROW)
            label = area.name if place == 0 else ""
            _list_row(canvas, label if named else None, metric, x, width, is_main=place == 0)
            canvas.y += ROW
    return turned


def _is_grid(areas: Sequence[Area], width: float) -> bool:
    """Whether there are several areas with the same numbers, and room for a column of each."""
    if len(areas) < 2:
        return False
    first = [(one.name, one.unit) for one in areas[0].metrics]
    if any([(one.name, one.unit) for one in area.metrics] != first for area in areas):
        return False
    return len(first) == 1 or _column(areas[0], width) >= _NARROWEST


def _column(area: Area, width: float) -> float:
    """The width of each column but the first two."""
    return (width - _AREA - _main_width(area)) / (len(area.metrics) - 1)


def _main_width(area: Area) -> float:
    return _MAIN + _BAR + _SCORE + 3


def _headings(area: Area, width: float) -> list[tuple[str, float, float]]:
    """Text, place and width of each column's heading."""
    column = _column(area, width) if len(area.metrics) > 1 else 0.0
    found = []
    for place, metric in enumerate(area.metrics):
        unit = unit_text(metric.unit)
        text = f"{metric.name}, {unit}" if unit not in ("", metric.name.lower()) else metric.name
        if place and metric.score is not None:
            text = f"{text} (score)"
        if place == 0:
            found.append((text, _AREA, _main_width(area) - 3))
        else:
            left = _AREA + _main_width(area) + (place - 1) * column
            found.append((text, left, column - 1.5))
    return found


def _header_height(canvas: Canvas, area: Area, width: float) -> float:
    heights = [
        canvas.height(text, wide, size=_SMALL, spacing=1.2)
        for text, _, wide in _headings(area, width)
    ]
    return max(heights) + 1.2


def _header(canvas: Canvas, area: Area, x: float, width: float) -> None:
    height = _header_height(canvas, area, width)
    for text, left, wide in _headings(area, width):
        own = canvas.height(text, wide, size=_SMALL, spacing=1.2)
        y = canvas.y + height - 1.2 - own
        align = "L" if left == _AREA else "R"
        canvas.text(text, x + left, y, wide, size=_SMALL, colour=GREY, align=align, spacing=1.2)
    canvas.y += height
    canvas.box(x, canvas.y - 0.7, width, 0.2, PALE)


def _grid_row(canvas: Canvas, area: Area, x: float, width: float) -> None:
    y, main = canvas.y, area.metrics[0]
    canvas.text(area.name, x, y, _AREA - 2, size=_TEXT, style="B", lines=1)
    told = "" if main.value is None else plain_value(main.value, main.unit)
    canvas.text(told, x + _AREA, y, _MAIN - 4, size=_TEXT, lines=1)
    left = x + _AREA + _MAIN - 4
    if main.score is not None:
        draw_bar(canvas, main.score, left, y + 1.1, _BAR + 3)
        score = number_text(round(main.score))
        canvas.text(score, left + _BAR + 3, y, _SCORE, size=_TEXT, style="B", align="R")
    elif main.label:
        canvas.text(main.label, left, y, _BAR + _SCORE + 3, size=_TEXT, colour=GREY, lines=1)
    for metric, (_, place, wide) in zip(area.metrics[1:], _headings(area, width)[1:], strict=True):
        told = "" if metric.value is None else plain_value(metric.value, metric.unit)
        if metric.score is not None:
            told = f"{told} ({number_text(round(metric.score))})"
        canvas.text(told, x + place, y, wide, size=_TEXT, colour=GREY, align="R", lines=1)


def _list_row(
    canvas: Canvas, area: str | None, metric: Metric, x: float, width: float, *, is_main: bool
) -> None:
    """Area, name, value, and the score as a bar with its number."""
    y, bar = canvas.y, 24.0
    first, value = 0.0 if area is None else 0.24 * width, 0.26 * width
    name = width - first - value - bar - 10
    if area:
        canvas.text(area, x, y, first - 2, size=_TEXT, style="B", lines=1)
    shade, style = (INK, "B") if is_main else (GREY, "")
    canvas.text(metric.name, x + first, y, name - 2, size=_TEXT, colour=shade, lines=1)
    told = "" if metric.value is None else value_text(metric.value, metric.unit)
    canvas.text(told, x + first + name, y, value - 3, size=_TEXT, align="R", lines=1)
    left = x + first + name + value
    if metric.score is not None:
        draw_bar(canvas, metric.score, left, y + 1.1, bar)
        score = number_text(round(metric.score))
        canvas.text(score, x + width - 9, y, 9, size=_TEXT, style=style, align="R")
    elif metric.label:
        canvas.text(metric.label, left, y, x + width - left, size=_TEXT, lines=1)
    if is_main and area is not None:
        canvas.box(x, y - 0.35, width, 0.15, PALE)
