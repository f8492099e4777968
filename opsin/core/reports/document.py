"""A report from its contents: the first page, a card for each measure, what has no result."""

from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from opsin.core.imaging import ImageLimits
from opsin.core.reports.budget import Budget
from opsin.core.reports.canvas import ACCENT, GREY, INNER, LEFT, Canvas
from opsin.core.reports.cards import draw_card
from opsin.core.reports.contents import Contents
from opsin.core.reports.drawing import PALETTE
from opsin.core.reports.first_page import draw_first_page
from opsin.core.reports.fonts import MISSING, choose
from opsin.core.reports.pictures import make_views
from opsin.core.reports.wording import humanized


def write_pdf(
    contents: Contents, picture: bytes | None, limits: ImageLimits, budget: Budget
) -> bytes:
    """The whole report.  Takes a second or so of a thread; the same contents give the same bytes.

    Raises DeadlineExceeded.
    """
    budget.check()
    characters = contents.texts()
    fonts = choose(characters)
    budget.check()
    shapes = [shape for measure in contents.measures for shape in measure.shapes]
    views = make_views(picture, limits, (contents.width, contents.height), shapes)
    budget.check()
    with TemporaryDirectory(prefix="opsin-report-") as folder:
        canvas = Canvas(fonts, characters, Path(folder), budget)
        canvas.described(contents.title, contents.moment)
        palette = cycle(PALETTE)
        # What has no numbers only shows where things are.
        colours = [GREY if one.main is None else next(palette) for one in contents.measures]
        draw_first_page(canvas, contents, views, colours)
        for measure, colour in zip(contents.measures, colours, strict=True):
            draw_card(canvas, contents, measure, views.pale, colour)
        _draw_rest(canvas, contents)
        if fonts.missing:
            _note(canvas, f"{MISSING} stands for characters that no font on this machine shows.")
        return canvas.finished(f"Opsin · image {contents.image_id}")


def _draw_rest(canvas: Canvas, contents: Contents) -> None:
    """What has no result."""
    if contents.unmeasured or contents.left_out:
        canvas.room(24)
        canvas.text("Without a result", LEFT, canvas.y, INNER, size=12, style="B", colour=ACCENT)
        canvas.y += 8
        for one in contents.unmeasured:
            told = f"{humanized(one.status.lower())}. {one.reason}".strip()
            canvas.room(canvas.height(told, INNER - 52, size=8) + 1.5)
            canvas.text(one.title, LEFT, canvas.y, 50, size=8, style="B", lines=1)
            canvas.y += canvas.text(told, LEFT + 52, canvas.y, INNER - 52, size=8, colour=GREY)
            canvas.y += 1.5
        if contents.left_out:
            _note(canvas, f"{contents.left_out} more analyses are not in this report.")
        canvas.y += 4


def _note(canvas: Canvas, text: str) -> None:
    canvas.room(canvas.height(text, INNER, size=7.5) + 2)
    canvas.y += canvas.text(text, LEFT, canvas.y, INNER, size=7.5, colour=GREY) + 2
