"""A stream, compressed as it goes."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

# An export compresses eightfold at the fastest level already, and the others hold it up.
_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS


async def gzipped(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The stream as one gzip file; what comes out is passed on with each chunk that goes in."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    async with aclosing(chunks):
        async for chunk in chunks:
            # zlib lets go of Python's lock, so another thread has the work off the event loop.
            if compressed := await asyncio.to_thread(compressor.compress, chunk):
                yield compressed
    yield compressor.flush()
