"""Bars of scores, in the colours of traffic lights."""

from opsin.core.reports.canvas import PALE, Canvas, Colour

_LOW: Colour = (200, 72, 56)
_MIDDLE: Colour = (224, 158, 40)
_HIGH: Colour = (46, 148, 110)
_HEIGHT = 1.5


def draw_bar(canvas: Canvas, score: float, x: float, y: float, width: float) -> None:
    """A score from 0 to 100 as the length of a bar, and by thirds its colour."""
    inside = min(max(score, 0.0), 100.0)
    colour = _LOW if inside < 100 / 3 else _MIDDLE if inside < 200 / 3 else _HIGH
    canvas.box(x, y, width, _HEIGHT, PALE, _HEIGHT / 2)
    if inside > 0:
        canvas.box(x, y, max(width * inside / 100, _HEIGHT), _HEIGHT, colour, _HEIGHT / 2)
