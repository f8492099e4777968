"""Pictures as a model wants them: its input size, and the mean and deviation of its training data.

What the image processors of transformers and the transforms of torchvision do, without either.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from opsin.core.contract import Picture

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]

_LONGEST_STRIP = 16
"""A picture longer than so many times its shorter side is cut before it is scaled."""
_FLOATS_AT_ONCE = 2**20

Colors: TypeAlias = tuple[float, float, float]
"""One number for each of red, green and blue."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a picture to the pixels of a model's input, `height` x `width`.

    With `shorter_side`, the picture's shorter side is scaled to that and its middle is cropped;
    without, the picture is stretched to the input.  The model wants (pixel / 255 - mean) / std.
    """

    height: int
    width: int
    mean: Colors
    std: Colors
    resample: Image.Resampling = Image.Resampling.BICUBIC
    shorter_side: int | None = None

    @staticmethod
    def read(file: Path, default: "Preprocessing") -> "Preprocessing":
        """What a `preprocessor_config.json` says, and for what it does not say, `default`.

        Raises ValueError for a file that says anything that is not done here.
        """
        try:
            told = _File.model_validate(json.loads(file.read_text("utf-8")))
            return told.applied_to(default)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = next(iter(first["loc"]), "all of it")
            raise ValueError(f"{file.name}: {key}: {first['msg']}") from None
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None

    def pixels(self, picture: Picture) -> Picture:
        """The input, height x width x 3, uint8; pixel for pixel what torchvision's `Resize` and
        `CenterCrop` make of a PIL image.

        Of a strip, only the middle is scaled: all of it would take gigabytes, to be cropped away.
        """
        if self.shorter_side is None:
            return np.asarray(Image.fromarray(picture).resize(self._size, self.resample))
        image = Image.fromarray(_middle(picture))
        shorter = min(image.size)
        width, height = (int(self.shorter_side * side / shorter) for side in image.size)
        scaled = np.asarray(image.resize((width, height), self.resample))
        # Rounded half to even, as torchvision does; transformers rounds these margins down.
        top, left = round((height - self.height) / 2), round((width - self.width) / 2)
        return scaled[top : top + self.height, left : left + self.width]

    def stretched(self, picture: Picture) -> "Floats":
        """The picture stretched to the input, height x width x 3, float32, 0 to 255, not rounded.

        What torch's antialiased interpolation of a float image gives, within 0.01 of a level.
        """
        channels = [
            Image.fromarray(self._narrowed(picture[..., channel])).resize(self._size, self.resample)
            for channel in range(3)
        ]
        return np.stack([np.asarray(channel) for channel in channels], axis=-1)

    def _narrowed(self, channel: "npt.NDArray[np.uint8]") -> "Floats":
        """The first half of the work, across: some rows at a time, for floats are large."""
        rows = max(_FLOATS_AT_ONCE // channel.shape[1], 1)
        parts = [channel[top : top + rows] for top in range(0, channel.shape[0], rows)]
        return np.concatenate(
            [
                np.asarray(
                    Image.fromarray(part.astype(np.float32)).resize(
                        (self.width, len(part)), self.resample
                    )
                )
                for part in parts
            ]
        )

    @property
    def _size(self) -> tuple[int, int]:
        return self.width, self.height


def _middle(picture: Picture) -> Picture:
    """A strip without its ends; the middle stays the middle."""
    height, width = picture.shape[:2]
    longest = _LONGEST_STRIP * min(height, width)
    top, left = (max(side - longest, 0) // 2 for side in (height, width))
    return picture[top : height - top, left : width - left]


_Side = Annotated[int, Field(ge=1, le=4096)]


class _Sides(BaseModel):
    model_config = ConfigDict(extra="forbid")

    shortest_edge: _Side | None = None
    height: _Side | None = None
    width: _Side | None = None


class _File(BaseModel):
    """What matters here of the file; null is as good as absent."""

    size: _Side | _Sides | None = None
    crop_size: _Side | _Sides | None = None
    do_resize: bool | None = None
    do_center_crop: bool | None = None
    do_rescale: bool | None = None
    do_normalize: bool | None = None
    rescale_factor: float | None = None
    resample: Image.Resampling | None = None
    image_mean: Colors | None = None
    image_std: Colors | None = None

    def applied_to(self, default: Preprocessing) -> Preprocessing:
        if self.do_resize is False or self.do_rescale is False or self.do_normalize is False:
            raise ValueError("do_resize, do_rescale and do_normalize must be true")
        if self.rescale_factor is not None and abs(255 * self.rescale_factor - 1) > 1e-3:
            raise ValueError("rescale_factor must be 1/255")
        crops = default.shorter_side is not None
        if self.do_center_crop not in (None, crops):
            raise ValueError(f"do_center_crop must be {str(crops).lower()} for this kind of model")
        made = replace(
            default,
            mean=self.image_mean or default.mean,
            std=self.image_std or default.std,
            resample=default.resample if self.resample is None else self.resample,
        )
        if not crops:
            height, width = _both(self.size) or (made.height, made.width)
            return replace(made, height=height, width=width)
        shorter = self._shortest_edge() or default.shorter_side
        height, width = _both(self.crop_size) or (made.height, made.width)
        if shorter is None or max(height, width) > shorter:
            raise ValueError("crop_size must not be larger than the shortest edge")
        return replace(made, height=height, width=width, shorter_side=shorter)

    def _shortest_edge(self) -> int | None:
        if self.size is None or isinstance(self.size, int):
            return self.size
        if self.size.shortest_edge is None:
            raise ValueError("size must give the shortest edge, for this kind of model crops")
        return self.size.shortest_edge


def _both(sides: int | _Sides | None) -> tuple[int, int] | None:
    """Height and width."""
    if sides is None:
        return None
    if isinstance(sides, int):
        return sides, sides
    if sides.height is None or sides.width is None:
        raise ValueError("a size must give height and width")
    return sides.height, sides.width
