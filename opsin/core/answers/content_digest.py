"""The sha256 that names a picture's bytes, wherever they come from."""

import asyncio
import hashlib
from typing import IO

from opsin.core.imaging import Source

_ON_LOOP = 1 << 16
"""Bytes that take less time than a change of thread."""
_CHUNK = 1 << 20


def content_name(company_id: str | None, sha256: str) -> str:
    """How the engine is told that pictures are the same, so that it shares pixels and regions.

    Each company has names of its own: how soon a picture is decoded tells it of no other's.
    """
    return f"{company_id}:{sha256}"


async def digest_of(source: Source, max_bytes: int) -> str | None:
    """The hex digest of a picture; None when it cannot be read twice, or is too large anyway."""
    if not isinstance(source, bytes):
        return await asyncio.to_thread(_of_file, source, max_bytes)
    if len(source) > max_bytes:
        return None
    if len(source) <= _ON_LOOP:
        return hashlib.sha256(source).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, source)).hexdigest()


def _of_file(file: IO[bytes], max_bytes: int) -> str | None:
    if not file.seekable():
        return None
    file.seek(0)
    digest, left = hashlib.sha256(), max_bytes
    while chunk := file.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            return None
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
