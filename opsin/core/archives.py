"""ZIP archives of strangers, read where they are: what an archive may be is checked by its index.

An index that is read costs memory for each of its entries, so they are counted first; and no entry
ever gives more bytes than the index says, so that a lie about the size is found before it costs.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from opsin.core.errors import InvalidInput, TooLarge

_END = b"PK\x05\x06"
_END_BYTES = 22
_LONGEST_COMMENT = 0xFFFF
_LARGE_END = b"PK\x06\x06"
_LARGE_END_BYTES, _LOCATOR_BYTES = 56, 20
_ENTRY = b"PK\x01\x02"
_ENTRY_BYTES = 46
_BLOCK = 1 << 20
_FREE_BYTES = 16 << 20
"""Unpacked bytes that are never too many for what they were packed in."""
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # encrypted, or in a way of packing that is not known here
    MemoryError,
)
"""What zipfile raises for what strangers send."""

READABLE: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Ways of packing that are unpacked a piece at a time.  zipfile gives all that a piece of bzip2 or
LZMA unpacks to at once, however little was asked for: gigabytes of a few kilobytes."""

SIGNATURES = (b"PK\x03\x04", _END)
"""What an archive begins with: an entry, or the end of an empty one."""


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may be."""

    entries: int = 10_000
    unpacked_bytes: int = 2 << 30
    ratio: float = 200
    """How many times as large as packed, beyond the first 16 MiB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive; its name leads nowhere, for nothing is ever written under it."""

    name: str
    size: int
    """Bytes unpacked, which are the most that reading gives."""
    info: zipfile.ZipInfo


class Archive:
    """The files of an archive in the order of its index; not for several threads at once."""

    def __init__(self, file: IO[bytes], limits: ArchiveLimits) -> None:
        """Raises InvalidInput for what is no archive, TooLarge for one beyond the limits."""
        size = file.seek(0, os.SEEK_END)
        _check_count(file, size, limits.entries)
        try:
            self._archive = zipfile.ZipFile(file)
        except UNREADABLE:
            raise InvalidInput("this is no ZIP archive, or only a part of one") from None
        infos = [info for info in self._archive.infolist() if not is_folder(info)]
        if len(infos) > limits.entries:
            raise _too_many(limits.entries)
        unpacked = sum(info.file_size for info in infos)
        if unpacked > limits.unpacked_bytes:
            raise TooLarge(f"the archive unpacks to more than {limits.unpacked_bytes} bytes")
        if unpacked > max(_FREE_BYTES, limits.ratio * size):
            raise TooLarge(f"the archive unpacks to more than {limits.ratio:g} times its size")
        self.entries: Sequence[Entry] = [Entry(i.filename, i.file_size, i) for i in infos]

    def head(self, entry: Entry, count: int) -> bytes | None:
        """How it begins; None where it cannot be read: damaged, encrypted, packed otherwise."""
        return self._read(entry, count)

    def read(self, entry: Entry) -> bytes | None:
        """All of it, checked by its checksum; None where it cannot be read: damaged, encrypted."""
        content = self._read(entry, entry.size + 1)
        return content if content is not None and len(content) == entry.size else None

    def close(self) -> None:
        """The file stays the caller's."""
        self._archive.close()

    def _read(self, entry: Entry, count: int) -> bytes | None:
        if entry.info.compress_type not in READABLE:
            return None
        try:
            # By its record, not its name: of two files with one name each has its own bytes.
            with self._archive.open(entry.info) as stream:
                return stream.read(count)
        except UNREADABLE:
            return None


def is_folder(info: zipfile.ZipInfo) -> bool:
    """As `ZipInfo.is_dir` says, which fails for a name of no characters."""
    return info.filename.endswith("/")


def _check_count(file: IO[bytes], size: int, most: int) -> None:
    """Refuse an index with too many entries before it is taken into memory."""
    tail = min(size, _END_BYTES + _LONGEST_COMMENT)
    file.seek(size - tail)
    found = file.read(tail)
    at = found.rfind(_END)
    if at < 0 or len(found) - at < _END_BYTES:
        raise InvalidInput("this is no ZIP archive, or only a part of one")
    end = size - tail + at
    index_bytes = struct.unpack("<L", found[at + 12 : at + 16])[0]
    if index_bytes == 0xFFFFFFFF:
        end, index_bytes = _large_index(file, end)
    # Whatever stands before the archive, the index ends where its end record begins.
    start = max(end - index_bytes, 0)
    count = sum(1 for _ in _entries(file, start, end, most))
    if count > most:
        raise _too_many(most)


def _large_index(file: IO[bytes], end: int) -> tuple[int, int]:
    """Where the index ends and its size, of an archive that keeps these in 64 bits."""
    file.seek(max(end - _LOCATOR_BYTES - _LARGE_END_BYTES, 0))
    record = file.read(_LARGE_END_BYTES)
    if len(record) < _LARGE_END_BYTES or not record.startswith(_LARGE_END):
        raise InvalidInput("this is no ZIP archive, or only a part of one")
    index_bytes: int = struct.unpack("<Q", record[40:48])[0]
    return end - _LOCATOR_BYTES - _LARGE_END_BYTES, index_bytes


def _entries(file: IO[bytes], start: int, end: int, most: int) -> Iterator[int]:
    """Where each entry of the index lies, up to one more than `most`, folders included."""
    block, block_at = b"", start
    position = start
    for _ in range(most + 1):
        if position + _ENTRY_BYTES > end:
            return
        if not block_at <= position <= block_at + len(block) - _ENTRY_BYTES:
            file.seek(position)
            block, block_at = file.read(_BLOCK), position
        record = block[position - block_at :][:_ENTRY_BYTES]
        if len(record) < _ENTRY_BYTES or not record.startswith(_ENTRY):
            return
        yield position
        position += _ENTRY_BYTES + sum(struct.unpack("<HHH", record[28:34]))


def _too_many(most: int) -> TooLarge:
    return TooLarge(f"the archive has more than {most} files")
