"""A picture as a door gives it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from opsin.core.engine.opening import Opener, opened
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageInfo, Source


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """Its bytes or how to get them; `sha256` and `info` where they are known without opening it.

    Pixels come with both.
    """

    source: Source | Opener | DecodedImage
    options: DecodeOptions
    sha256: str | None
    info: ImageInfo | None

    @property
    def lasts(self) -> bool:
        """Whether it can be read when the asker is gone: a file is closed by then."""
        return isinstance(self.source, bytes | DecodedImage) or callable(self.source)

    def open(self) -> AbstractAsyncContextManager[Source]:
        assert not isinstance(self.source, DecodedImage)  # its info is known
        return opened(self.source)
