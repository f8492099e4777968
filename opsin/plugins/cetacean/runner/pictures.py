"""Pictures as the embedder wants them: squashed, padded or cropped to its input size."""

import numpy as np
from PIL import Image

from opsin import Picture
from opsin.core.imaging import Preprocessing
from opsin.plugins.cetacean.stages import Embedder

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Fitting:
    """From a picture of any size to pixels, height x width x 3, uint8.

    Resizes as torchvision does on PIL images, which averages where it makes smaller.
    """

    def __init__(self, stage: Embedder) -> None:
        height, width = stage.height_width
        self._pads = stage.resize == "pad"
        crops = stage.resize == "crop"
        self.preprocessing = Preprocessing(
            height=height,
            width=width,
            mean=stage.mean,
            std=stage.std,
            resample=_RESAMPLING[stage.interpolation],
            shorter_side=(stage.short_side or height) if crops else None,
        )

    def pixels(self, picture: Picture) -> Picture:
        if self._pads:
            return padded(picture, self.preprocessing)
        return self.preprocessing.pixels(picture)


def padded(picture: Picture, preprocessing: Preprocessing) -> Picture:
    """The whole picture in the middle of the input, black around it where it is too narrow."""
    height, width = picture.shape[:2]
    scale = min(preprocessing.height / height, preprocessing.width / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = np.asarray(Image.fromarray(picture).resize(size, preprocessing.resample))
    filled = np.zeros((preprocessing.height, preprocessing.width, 3), np.uint8)
    top, left = (preprocessing.height - size[1]) // 2, (preprocessing.width - size[0]) // 2
    filled[top : top + size[1], left : left + size[0]] = scaled
    return filled
