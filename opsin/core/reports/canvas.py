"""Pages of a report: fpdf2 with our fonts, colours and footer; every step asks the budget."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from opsin.core.reports.budget import Budget
from opsin.core.reports.fonts import FAMILY, MISSING, Fonts, cut

if TYPE_CHECKING:
    from PIL import Image

Colour = tuple[int, int, int]

INK: Colour = (28, 33, 40)
GREY: Colour = (91, 100, 112)
PALE: Colour = (227, 230, 234)
PAPER: Colour = (246, 247, 249)
ACCENT: Colour = (15, 98, 122)
WHITE: Colour = (255, 255, 255)

# Latin, Greek, Cyrillic, signs, Chinese, kana and hangul stand one after the other as they are;
# all others are put together by HarfBuzz, which is slow where it is needless.
_PLAIN = re.compile(
    "[ -\u02ff\u0370-\u052f\u2010-\u2027\u2030-\u205e\u2070-\u27bf"
    "\u2e80-\u9fff\uac00-\ud7a3\uff01-\uffee\ufffd]*"
)

WIDTH, HEIGHT = 210.0, 297.0
LEFT, TOP, BOTTOM = 18.0, 20.0, 20.0
INNER = WIDTH - 2 * LEFT
"""Millimetres of an A4 page between its margins."""


class Canvas:
    """An A4 document that is drawn from top to bottom; `y` is where the next thing goes."""

    def __init__(
        self, fonts: Fonts, characters: Iterable[str], folder: Path, budget: Budget
    ) -> None:
        from fpdf import FPDF

        self._budget = budget
        self._missing = fonts.missing
        self._pdf = FPDF(format="A4")
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)
        self._pdf.c_margin = 0
        # No text of anybody's is a place for the number of pages.
        self._pdf.alias_nb_pages("")
        given = set(characters)
        for font in fonts.fonts:
            budget.check()
            self._pdf.add_font(font.family, font.style, cut(font, given, folder))
        self._pdf.set_fallback_fonts(fonts.fallbacks, exact_match=False)
        self._known: dict[tuple[str, float, float, str], list[str]] = {}
        self.y = TOP

    def described(self, title: str, moment: datetime) -> None:
        """What the file says of itself; its time is that of what it tells, so that it is always
        the same for the same."""
        self._pdf.set_title(self._shown(title))
        self._pdf.set_creator("Opsin")
        self._pdf.set_lang("en")
        self._pdf.set_creation_date(moment)

    def page(self) -> None:
        """Begin a page."""
        self._budget.check()
        self._pdf.add_page()
        self.y = TOP

    def room(self, height: float) -> bool:
        """Make sure that so many millimetres are left; tells whether it took a new page."""
        self._budget.check()
        if self._pdf.page and self.y + height <= HEIGHT - BOTTOM:
            return False
        self.page()
        return True

    def text(
        self,
        text: str,
        x: float,
        y: float,
        width: float,
        *,
        size: float = 9,
        style: str = "",
        colour: Colour = INK,
        align: str = "L",
        lines: int | None = None,
        spacing: float = 1.4,
    ) -> float:
        """Write within a width, in `lines` lines at most; gives the height that it took."""
        self._budget.check()
        line = self._line(size, spacing)
        rows = self._rows(text, width, size, style)
        self._pdf.set_font(FAMILY, style, size)
        if lines is not None and len(rows) > lines:
            rows = [*rows[: lines - 1], self._fitted(" ".join(rows[lines - 1 :]), width)]
        self._pdf.set_text_color(*colour)
        # The same, so that fpdf2 puts no state aside for the colour: where a line begins with a
        # font that steps in, it would lose the font of the lines after it with that state.
        self._pdf.set_fill_color(*colour)
        for number, row in enumerate(rows):
            self._shape(row)
            self._pdf.set_xy(x, y + number * line)
            self._pdf.cell(width, line, row, align=align)
        return len(rows) * line

    def height(
        self, text: str, width: float, *, size: float = 9, style: str = "", spacing: float = 1.4
    ) -> float:
        """What `text` would take."""
        return len(self._rows(text, width, size, style)) * self._line(size, spacing)

    def width(self, text: str, *, size: float = 9, style: str = "") -> float:
        shown = self._shown(text)
        self._pdf.set_font(FAMILY, style, size)
        self._shape(shown)
        return self._pdf.get_string_width(shown)

    def box(
        self, x: float, y: float, width: float, height: float, colour: Colour, radius: float = 0
    ) -> None:
        """A filled rectangle."""
        self._pdf.set_fill_color(*colour)
        rounded = min(radius, width / 2, height / 2)
        if rounded > 0:
            self._pdf.rect(x, y, width, height, "F", round_corners=True, corner_radius=rounded)
        else:
            self._pdf.rect(x, y, width, height, "F")

    def frame(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """An empty rectangle."""
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(0.2)
        self._pdf.rect(x, y, width, height, "D")

    def rule(self, y: float, colour: Colour = PALE) -> None:
        """A line from margin to margin."""
        self._pdf.set_draw_color(*colour)
        self._pdf.set_line_width(0.2)
        self._pdf.line(LEFT, y, WIDTH - LEFT, y)

    def picture(
        self,
        content: "bytes | Image.Image",
        x: float,
        y: float,
        width: float,
        height: float,
        alt: str | None = None,
    ) -> None:
        """A picture, embedded once however often it is shown."""
        self._budget.check()
        source = BytesIO(content) if isinstance(content, bytes) else content
        self._pdf.image(source, x, y, width, height, alt_text=alt)

    @contextmanager
    def clipped(self, x: float, y: float, width: float, height: float) -> Iterator[None]:
        """What is drawn meanwhile is cut off at these edges."""
        with self._pdf.rect_clip(x, y, width, height):
            yield

    @contextmanager
    def translucent(self, colour: Colour, fill: float, line: float) -> Iterator[None]:
        """Shapes drawn meanwhile have this colour, and let what is below be seen."""
        with self._pdf.local_context(
            fill_opacity=fill,
            stroke_opacity=line,
            fill_color=colour,
            draw_color=colour,
            line_width=0.18,
        ):
            yield

    def polygon(self, points: Sequence[tuple[float, float]], *, filled: bool) -> None:
        self._budget.check()
        self._pdf.polygon(points, style="DF" if filled else "D")

    def outline(self, x: float, y: float, width: float, height: float) -> None:
        """A rectangle in the colours at hand."""
        self._pdf.rect(x, y, width, height, "D")

    def dot(self, x: float, y: float, radius: float) -> None:
        # A square: thousands of circles would be most of the file.
        self._pdf.rect(x - radius, y - radius, 2 * radius, 2 * radius, "F")

    def bookmark(self, text: str) -> None:
        """An entry of the outline that leads to this page."""
        self._pdf.start_section(self._shown(text))

    def finished(self, footer: str) -> bytes:
        """Write the footers, and give the file."""
        pages = self._pdf.pages_count
        for number in range(1, pages + 1):
            self._budget.check()
            self._pdf.page = number
            y = HEIGHT - 13
            self.rule(y - 2)
            # The page has its own font and colour, which are not those that were set last.
            self._pdf.set_font(FAMILY, "B", 7)
            self._pdf.set_fill_color(*WHITE)
            self.text(footer, LEFT, y, INNER - 30, size=7, colour=GREY, lines=1)
            place = f"Page {number} of {pages}"
            self.text(place, WIDTH - LEFT - 30, y, 30, size=7, colour=GREY, align="R")
        self._budget.check()
        return bytes(self._pdf.output())

    def _rows(self, text: str, width: float, size: float, style: str) -> list[str]:
        key = text, width, size, style
        if key not in self._known:
            self._known[key] = self._broken(self._shown(text), width, size, style)
        return self._known[key]

    def _broken(self, text: str, width: float, size: float, style: str) -> list[str]:
        """The lines of a text."""
        from fpdf.enums import MethodReturnValue

        if self.width(text, size=size, style=style) <= width:
            return [text]
        found = self._pdf.multi_cell(
            max(width, size),
            text=text,
            align="L",
            dry_run=True,
            output=MethodReturnValue.LINES,
        )
        return [str(row) for row in found] if isinstance(found, list) else []

    def _shape(self, text: str) -> None:
        """Have what comes next put together from its characters as they need it."""
        self._pdf.set_text_shaping(_PLAIN.fullmatch(text) is None)

    def _fitted(self, text: str, width: float) -> str:
        """As much of one line as fits in the font at hand, with an ellipsis."""
        self._shape(text)
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self._pdf.get_string_width(text[:middle].rstrip() + "…") <= width:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + "…"

    def _shown(self, text: str) -> str:
        if not self._missing:
            return text
        return "".join(MISSING if one in self._missing else one for one in text)

    @staticmethod
    def _line(size: float, spacing: float) -> float:
        return size * 25.4 / 72 * spacing
