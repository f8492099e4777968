"""The regions that were looked at, as clients get them: a PNG in base64, each made once."""

import base64

from opsin.core.contract import Box
from opsin.core.imaging import DecodedImage, crop, encode_png

_COMPRESSION = 1
"""A quarter of the time of 6, for seven bytes in a hundred more."""


class Crops:
    """Cuts regions out of one picture; for use on a thread."""

    def __init__(self, picture: DecodedImage) -> None:
        self._picture = picture
        self._made: dict[Box, str] = {}

    def base64(self, box: Box) -> str:
        """8-bit RGB, in the standard alphabet, without line breaks."""
        if box not in self._made:
            png = encode_png(crop(self._picture.pixels, box), _COMPRESSION)
            self._made[box] = base64.b64encode(png).decode()
        return self._made[box]
