"""A picture as it is given: its bytes, a file, or a way to open one if it is needed."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from opsin.core.imaging import Source

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Source]]
"""Reads a picture that stays readable, whoever leaves."""


@asynccontextmanager
async def opened(picture: Source | Opener) -> AsyncIterator[Source]:
    """The picture to read; what had to be opened is closed again."""
    if callable(picture):
        async with picture() as source:
            yield source
    else:
        yield picture
