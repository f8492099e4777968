"""One measure's card: where it was found, numbers by area, history, method and source."""

from opsin.core.reports.canvas import GREY, INK, INNER, LEFT, WIDTH, Canvas, Colour
from opsin.core.reports.contents import Contents, Measure
from opsin.core.reports.drawing import draw_shapes, draw_view, fitted
from opsin.core.reports.pictures import View
from opsin.core.reports.plots import plot
from opsin.core.reports.tables import ROW, draw_table, table_height
from opsin.core.reports.wording import moment_text, number_text, value_text

_FIGURE_WIDTH, _FIGURE_HEIGHT = 46.0, 58.0
_GAP = 6.0
_HEADING = 9.0
_PLOT_HEIGHT = 24.0
_FEWEST_FOR_PLOT = 2
_TALLEST_START = 150.0
"""What is taller begins where it is, and goes on with the next page."""


def draw_card(
    canvas: Canvas, contents: Contents, measure: Measure, view: View, colour: Colour
) -> None:
    """A card, on a new page where its beginning would not fit."""
    width, height = fitted(view, _FIGURE_WIDTH, _FIGURE_HEIGHT)
    has_figure = bool(measure.shapes)
    x = LEFT + _FIGURE_WIDTH + _GAP if has_figure else LEFT
    lines = len(measure.findings) + len(measure.feedback) + len(measure.left_out)
    body = table_height(canvas, measure, WIDTH - LEFT - x) + ROW * lines
    body = max(height if has_figure else 0, body)
    whole = _HEADING + body + _history_height(measure) + _method_height(canvas, measure)
    canvas.room(whole if whole <= _TALLEST_START + _PLOT_HEIGHT else _HEADING + height)
    _heading(canvas, measure, colour)
    bottom = canvas.y
    if has_figure:
        place = (LEFT, canvas.y, width, height)
        draw_view(canvas, view, place, f"{measure.title}: where it was found")
        size = contents.width, contents.height
        filled = measure.main is not None
        draw_shapes(canvas, measure.shapes, view, place, size, colour, filled=filled)
        bottom += height
    # On a new page the figure is behind us.
    if not _body(canvas, measure, x):
        canvas.y = max(canvas.y, bottom)
    canvas.y += 2
    _history(canvas, measure, colour)
    _method(canvas, measure)
    canvas.y += 7


def _heading(canvas: Canvas, measure: Measure, colour: Colour) -> None:
    canvas.bookmark(measure.title)
    canvas.box(LEFT, canvas.y + 0.9, 3.4, 3.4, colour, 0.7)
    canvas.text(measure.title, LEFT + 5.5, canvas.y, INNER - 45, size=12, style="B", lines=1)
    main = measure.main
    if main is not None and main.score is not None:
        score = number_text(round(main.score))
        canvas.text("/ 100", WIDTH - LEFT - 11, canvas.y + 1.3, 11, size=8, colour=GREY, align="R")
        canvas.text(score, WIDTH - LEFT - 41, canvas.y, 30, size=12, style="B", align="R")
    canvas.y += _HEADING - 2
    canvas.rule(canvas.y - 0.8)
    canvas.y += 2


def _body(canvas: Canvas, measure: Measure, x: float) -> bool:
    """Numbers, then findings and advice; tells whether a page ended in them."""
    width = WIDTH - LEFT - x
    turned = draw_table(canvas, measure, x, width)
    for finding in measure.findings:
        sure = "" if finding.confidence is None else value_text(finding.confidence, "share")
        turned |= canvas.room(canvas.height(finding.text, width - 44, size=8) + 1)
        canvas.text(finding.kind, x, canvas.y, 26, size=7.5, colour=GREY, lines=1)
        canvas.text(sure, x, canvas.y, width, size=8, align="R")
        canvas.y += canvas.text(finding.text, x + 28, canvas.y, width - 44, size=8) + 1
    for advice in measure.feedback:
        turned |= canvas.room(canvas.height(advice, width - 4, size=8) + 1)
        canvas.text("·", x, canvas.y, 3, size=8, style="B")
        canvas.y += canvas.text(advice, x + 4, canvas.y, width - 4, size=8) + 1
    for more in measure.left_out:
        turned |= canvas.room(ROW)
        canvas.y += canvas.text(more, x, canvas.y, width, size=7, colour=GREY)
    return turned


def _history(canvas: Canvas, measure: Measure, colour: Colour) -> None:
    if len(measure.history) < _FEWEST_FOR_PLOT:
        return
    canvas.room(_history_height(measure))
    main = measure.main
    is_score = main is not None and main.score is not None
    unit = "score" if is_score or main is None else main.unit or main.name
    told = f"History of {len(measure.history)} pictures, {unit}"
    canvas.y += canvas.text(told, LEFT, canvas.y, INNER, size=7, colour=GREY) + 0.5
    drawn = plot(
        measure.history,
        is_score=is_score,
        colour="#{:02x}{:02x}{:02x}".format(*colour),
        width=INNER,
        height=_PLOT_HEIGHT,
    )
    alt = f"{measure.title}: {told}"
    canvas.picture(drawn, LEFT, canvas.y, INNER, _PLOT_HEIGHT, alt)
    canvas.y += _PLOT_HEIGHT + 1.5


def _history_height(measure: Measure) -> float:
    return _PLOT_HEIGHT + 7 if len(measure.history) >= _FEWEST_FOR_PLOT else 0.0


def _method(canvas: Canvas, measure: Measure) -> None:
    """What the numbers mean, where the method comes from, and what exactly computed them."""
    for text, style, size, colour in _method_texts(measure):
        height = canvas.height(text, INNER, size=size, style=style)
        canvas.room(height)
        canvas.text(text, LEFT, canvas.y, INNER, size=size, style=style, colour=colour)
        canvas.y += height + 0.8


def _method_height(canvas: Canvas, measure: Measure) -> float:
    return sum(
        canvas.height(text, INNER, size=size, style=style) + 0.8
        for text, style, size, _ in _method_texts(measure)
    )


def _method_texts(measure: Measure) -> list[tuple[str, str, float, Colour]]:
    computed = f"{measure.operation}, version {measure.version}"
    if measure.completed_at is not None:
        computed += f", {moment_text(measure.completed_at)}"
    texts = [
        (measure.explanation or measure.description, "", 8.0, INK),
        (f"Source: {measure.source}" if measure.source else "", "I", 7.0, GREY),
        (computed, "", 6.5, GREY),
    ]
    return [one for one in texts if one[0]]
