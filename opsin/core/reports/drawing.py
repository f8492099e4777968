"""What was found, drawn over the picture: outlines, masks, boxes and points."""

from collections.abc import Callable, Sequence

from opsin.core.exports.shapes import Shape
from opsin.core.reports.canvas import GREY, PALE, PAPER, Canvas, Colour
from opsin.core.reports.pictures import View, painted
from opsin.core.reports.wording import FILE_DELETED

At = Callable[[float, float], tuple[float, float]]
"""From a pixel of the picture to a point of the page."""

Place = tuple[float, float, float, float]
"""x, y, width and height on the page, in millimetres."""

PALETTE: Sequence[Colour] = (
    (213, 61, 44),
    (0, 114, 178),
    (0, 140, 105),
    (150, 80, 190),
    (222, 140, 0),
    (60, 160, 215),
    (200, 60, 130),
    (110, 130, 20),
    (120, 85, 60),
    (70, 75, 160),
)
"""Of measures one after the other; told apart by most who see colours differently."""

_MOST_CORNERS = 60_000
"""Of one drawing: what has more would make the file slow to show."""
_FEW_POINTS = 60


def fitted(view: View, width: float, height: float) -> tuple[float, float]:
    """The size of a view inside of a box, in millimetres."""
    if view.ratio * width <= height:
        return width, view.ratio * width
    return height / view.ratio, height


def draw_view(canvas: Canvas, view: View, place: Place, alt: str) -> None:
    """The picture of the view, or an empty frame where its file is gone."""
    x, y, width, height = place
    if view.jpeg is not None:
        canvas.picture(view.jpeg, x, y, width, height, alt)
        return
    canvas.box(x, y, width, height, PAPER)
    canvas.frame(x, y, width, height, PALE)
    canvas.text(FILE_DELETED, x + 1.5, y + 1, width - 3, size=6.5, colour=GREY)


def draw_shapes(
    canvas: Canvas,
    shapes: Sequence[Shape],
    view: View,
    place: Place,
    size: tuple[int, int],
    colour: Colour,
    *,
    filled: bool = True,
) -> None:
    """Shapes in pixels of a picture of `size`, where the view stands; its edges cut them off."""
    x, y, width, height = place
    left, top, across, down = view.box

    def at(column: float, row: float) -> tuple[float, float]:
        return (
            round(x + (column - left) / across * width, 3),
            round(y + (row - top) / down * height, 3),
        )

    corners = 0
    with canvas.clipped(*place):
        mask = painted(shapes, view, size, colour) if filled else None
        if mask is not None:
            canvas.picture(mask, *place)
        with canvas.translucent(colour, 0.4 if filled else 0, 0.95 if filled else 0.8):
            for shape in shapes:
                corners += _cost(shape)
                if corners > _MOST_CORNERS:
                    break
                _draw(canvas, shape, at, filled)


def _cost(shape: Shape) -> int:
    polygons = shape.segmentation if isinstance(shape.segmentation, list) else []
    return sum(len(polygon) // 2 for polygon in polygons) + len(shape.points) // 3 + 1


def _draw(canvas: Canvas, shape: Shape, at: At, filled: bool) -> None:
    if isinstance(shape.segmentation, list):
        for polygon in shape.segmentation:
            pairs = zip(polygon[::2], polygon[1::2], strict=True)
            canvas.polygon([at(column, row) for column, row in pairs], filled=filled)
    elif shape.points:
        seen = [
            at(shape.points[place], shape.points[place + 1])
            for place in range(0, len(shape.points), 3)
            if shape.points[place + 2]
        ]
        radius = 0.55 if len(seen) <= _FEW_POINTS else 0.22
        for column, row in seen:
            canvas.dot(column, row, radius)
    elif shape.segmentation is None:
        left, top = at(shape.box[0], shape.box[1])
        right, bottom = at(shape.box[0] + shape.box[2], shape.box[1] + shape.box[3])
        canvas.outline(left, top, right - left, bottom - top)
