"""A picture as a door gives it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from opsin.core.engine.opening import Opener, opened
from opsin.core.imaging import DecodeOptions, ImageInfo, Source


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """Its bytes or how to get them; `sha256` and `info` where they are known without opening it."""

    source: Source | Opener
    options: DecodeOptions
    sha256: str | None
    info: ImageInfo | None

    @property
    def lasts(self) -> bool:
        """Whether it can be read when the asker is gone: a file is closed by then."""
        return isinstance(self.source, bytes) or callable(self.source)

    def open(self) -> AbstractAsyncContextManager[Source]:
        return opened(self.source)
