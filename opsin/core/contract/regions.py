"""Pictures, the parts of them that operations look at, and boxes."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Picture: TypeAlias = npt.NDArray[np.uint8]
    """Pixels, height x width x 3, uint8, RGB; read-only, shared between operations."""
else:
    Picture = Any


class Target(StrEnum):
    """Which part of the picture an operation looks at."""

    WHOLE_IMAGE = "whole_image"
    PROMINENT_PERSON = "prominent_person"
    PROMINENT_FACE = "prominent_face"


class FaceContext(StrEnum):
    """Where the prominent face is looked for."""

    WHOLE_IMAGE = "whole_image"
    PROMINENT_PERSON = "prominent_person"


class Box(BaseModel):
    """A bounding box in pixels of the displayed picture; the maximum side is exclusive."""

    model_config = ConfigDict(frozen=True)

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def width(self) -> int:
        return self.x_max - self.x_min

    @property
    def height(self) -> int:
        return self.y_max - self.y_min

    @property
    def is_empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    def clipped(self, width: int, height: int) -> "Box":
        """This box inside a picture of `width` x `height` pixels."""
        return Box(
            x_min=min(max(self.x_min, 0), width),
            y_min=min(max(self.y_min, 0), height),
            x_max=min(max(self.x_max, 0), width),
            y_max=min(max(self.y_max, 0), height),
        )

    def moved(self, dx: int, dy: int) -> "Box":
        """This box shifted by `dx`, `dy` pixels."""
        return Box(
            x_min=self.x_min + dx,
            y_min=self.y_min + dy,
            x_max=self.x_max + dx,
            y_max=self.y_max + dy,
        )


Point: TypeAlias = tuple[float, float]
"""x and y in pixels; the centre of the first pixel is 0.5, 0.5."""


@dataclass(frozen=True, slots=True)
class Region:
    """A found part of a picture: its box, clipped to the picture, and the finder's score 0..1."""

    box: Box
    score: float
    landmarks: tuple[Point, ...] = ()
    """Of a face five, as its finder's search gave them, or none: the eye on the left of the picture
    and the one on the right, the tip of the nose, the left and the right corner of the mouth."""

    def moved(self, dx: int, dy: int) -> "Region":
        """This region shifted by `dx`, `dy` pixels."""
        landmarks = tuple((x + dx, y + dy) for x, y in self.landmarks)
        return replace(self, box=self.box.moved(dx, dy), landmarks=landmarks)
