"""The first page: the picture with what was found in it, all scores, facts, what this is."""

from collections.abc import Sequence

from opsin.core.reports.canvas import (
    ACCENT,
    GREY,
    INK,
    INNER,
    LEFT,
    PALE,
    PAPER,
    TOP,
    WHITE,
    WIDTH,
    Canvas,
    Colour,
)
from opsin.core.reports.contents import Contents, Measure
from opsin.core.reports.drawing import draw_shapes, draw_view, fitted
from opsin.core.reports.pictures import Views
from opsin.core.reports.scores import draw_bar
from opsin.core.reports.wording import (
    ABOUT,
    HISTORY,
    NO_NUMBERS,
    NOT,
    NOTHING,
    RESULTS_DELETED,
    moment_text,
    number_text,
    value_text,
)

_PICTURE_WIDTH, _PICTURE_HEIGHT = 96.0, 116.0
_GAP = 8.0
_ROW = 7.2
_MOST_ROWS = 20
"""Of the overview on the first page; each measure has a card of its own anyway."""


def draw_first_page(
    canvas: Canvas, contents: Contents, views: Views, colours: Sequence[Colour]
) -> None:
    canvas.page()
    _heading(canvas, contents)
    top = canvas.y
    view = views.part
    width, height = fitted(view, _PICTURE_WIDTH, _PICTURE_HEIGHT)
    place = (LEFT, top, width, height)
    size = contents.width, contents.height
    draw_view(canvas, view, place, f"The picture {contents.title}")
    drawn = list(zip(contents.measures, colours, strict=True))
    # Those without numbers, such as areas of a face, are where things are, not what was found.
    for measure in contents.measures:
        if measure.main is None:
            draw_shapes(canvas, measure.shapes, view, place, size, GREY, filled=False)
    for measure, colour in drawn:
        if measure.main is not None:
            draw_shapes(canvas, measure.shapes, view, place, size, colour)
    below = top + height + 2.5
    below += _legend(canvas, drawn, below, _PICTURE_WIDTH)
    left = LEFT + _PICTURE_WIDTH + _GAP
    bottom = _overview(canvas, contents, drawn, left, top, WIDTH - LEFT - left)
    if views.whole is not views.part and views.whole.jpeg is not None:
        bottom = _whole(canvas, views, left, bottom + 4, max(below, bottom + 44))
    canvas.y = max(below, bottom) + 5
    _facts(canvas, contents)
    _what_this_is(canvas, contents)


def _heading(canvas: Canvas, contents: Contents) -> None:
    canvas.text("IMAGE REPORT", LEFT, TOP - 6, INNER, size=7.5, style="B", colour=ACCENT)
    told = f"Results as of {moment_text(contents.moment)}"
    canvas.text(told, LEFT, TOP - 6, INNER, size=7.5, colour=GREY, align="R")
    canvas.bookmark("Overview")
    canvas.y = TOP
    canvas.y += canvas.text(contents.title, LEFT, canvas.y, INNER, size=20, style="B", lines=2)
    canvas.y += 1.5
    canvas.box(LEFT, canvas.y, 14, 0.9, ACCENT)
    canvas.y += 5


def _legend(
    canvas: Canvas, drawn: Sequence[tuple[Measure, Colour]], y: float, width: float
) -> float:
    """The colours over the picture, in as many lines as they need; gives the height."""
    x, line, start = LEFT, 4.2, y
    for measure, colour in drawn:
        if not measure.shapes:
            continue
        wide = 4 + canvas.width(measure.title, size=7) + 4
        if x > LEFT and x + wide > LEFT + width:
            x, y = LEFT, y + line
        canvas.box(x, y + 0.9, 2.6, 2.2, colour, 0.5)
        canvas.text(measure.title, x + 4, y, wide, size=7, colour=GREY, lines=1)
        x += wide
    return y - start + (line if x > LEFT else 0)


def _overview(
    canvas: Canvas,
    contents: Contents,
    drawn: Sequence[tuple[Measure, Colour]],
    x: float,
    y: float,
    width: float,
) -> float:
    """A row for each main number; gives where it ends."""
    rows = [(measure, colour) for measure, colour in drawn if measure.main is not None]
    if not rows:
        told = RESULTS_DELETED if contents.results_deleted else NOTHING
        if contents.measures:
            told = NO_NUMBERS
        return y + canvas.text(told, x, y, width, colour=GREY)
    canvas.text("Overview", x, y - 0.5, width, size=11, style="B", colour=ACCENT)
    y += 7
    for measure, _ in rows[:_MOST_ROWS]:
        main = measure.main
        assert main is not None  # the rows are those that have one
        canvas.text(measure.title, x, y, width - 16, size=8.5, lines=1)
        if main.score is not None:
            canvas.text(number_text(round(main.score)), x, y, width, size=8.5, style="B", align="R")
            draw_bar(canvas, main.score, x, y + 4.4, width)
        else:
            told = _told(main.value, main.unit, main.label)
            canvas.text(told, x, y, width, size=8.5, align="R", colour=INK, lines=1)
            canvas.box(x, y + 5.1, width, 0.25, PALE)
        y += _ROW
    if len(rows) > _MOST_ROWS:
        y += canvas.text(f"and {len(rows) - _MOST_ROWS} more", x, y, width, size=8, colour=GREY)
    note = "Scores from 0 to 100, 100 being the best."
    return y + canvas.text(note, x, y + 0.5, width, size=6.5, colour=GREY)


def _told(value: float | None, unit: str, label: str) -> str:
    number = "" if value is None else value_text(value, unit)
    return f"{number}, {label}" if number and label else number or label


def _whole(canvas: Canvas, views: Views, x: float, y: float, bottom: float) -> float:
    """The whole picture, small, and which part of it is shown large; gives where it ends."""
    width, height = fitted(views.whole, WIDTH - LEFT - x, bottom - y - 4)
    place = (x, y, width, height)
    draw_view(canvas, views.whole, place, "The whole picture")
    scale = width / views.whole.box[2]
    left, top, across, down = views.part.box
    canvas.frame(x + left * scale, y + top * scale, across * scale, down * scale, WHITE)
    return (
        y
        + height
        + canvas.text(
            "The whole picture", x, y + height + 0.6, WIDTH - LEFT - x, size=6.5, colour=GREY
        )
    )


def _facts(canvas: Canvas, contents: Contents) -> None:
    """Two columns of what is known of the picture."""
    canvas.rule(canvas.y)
    canvas.y += 3
    half = INNER / 2
    for start in range(0, len(contents.facts), 2):
        taken = 0.0
        for column, (label, text) in enumerate(contents.facts[start : start + 2]):
            x = LEFT + column * half
            canvas.text(label, x, canvas.y, 20, size=7.5, colour=GREY, lines=1)
            height = canvas.text(text, x + 21, canvas.y, half - 25, size=7.5, lines=2)
            taken = max(taken, height)
        canvas.y += taken + 0.6
    canvas.y += 2.5


def _what_this_is(canvas: Canvas, contents: Contents) -> None:
    inner = INNER - 10
    about = ABOUT
    if any(len(measure.history) > 1 for measure in contents.measures):
        about = f"{ABOUT} {HISTORY}"
    height = canvas.height(about, inner, size=8) + canvas.height(NOT, inner, size=8, style="B")
    canvas.room(height + 10)
    canvas.box(LEFT, canvas.y, INNER, height + 7, PAPER, 1.5)
    canvas.box(LEFT, canvas.y, 1.2, height + 7, ACCENT)
    y = canvas.y + 2.8
    y += canvas.text(about, LEFT + 5, y, inner, size=8) + 1.4
    canvas.text(NOT, LEFT + 5, y, inner, size=8, style="B")
    canvas.y += height + 12
