"""What a PDF shows: its text, its pages as pictures, its fonts and embedded pictures."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pypdfium2
from pypdfium2 import raw

Pixels = npt.NDArray[np.uint8]
SCALE = 2.0
"""Pixels of a shown page to a point of it."""


@dataclass(frozen=True)
class Shown:
    """A whole document."""

    texts: Sequence[str]
    pixels: Sequence[Pixels]
    pictures: int
    fonts: dict[str, bool]
    """By name, whether the font is in the file."""
    outline: Sequence[str]

    @property
    def text(self) -> str:
        """All of it, on one line."""
        return " ".join(" ".join(self.texts).split())


def shown(content: bytes) -> Shown:
    """Read a PDF as viewers do."""
    texts, pixels, pictures = [], [], 0
    fonts: dict[str, bool] = {}
    with pypdfium2.PdfDocument(content) as document:
        for page in document:
            texts.append(page.get_textpage().get_text_bounded())
            pixels.append(np.asarray(page.render(scale=SCALE).to_pil().convert("RGB")))
            for one in page.get_objects():
                pictures += one.type == raw.FPDF_PAGEOBJ_IMAGE
                if one.type == raw.FPDF_PAGEOBJ_TEXT:
                    font = raw.FPDFTextObj_GetFont(one.raw)
                    name = ctypes.create_string_buffer(200)
                    raw.FPDFFont_GetBaseFontName(font, name, 200)
                    fonts[name.value.decode()] = bool(raw.FPDFFont_GetIsEmbedded(font))
        outline = [one.get_title() for one in document.get_toc()]
    return Shown(texts, pixels, pictures, fonts, outline)
