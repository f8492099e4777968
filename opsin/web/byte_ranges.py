"""Parts of files, as HTTP asks for them (RFC 9110, section 14): one range, if it still fits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_BYTES = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end` (exclusive) of a file of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


class UnsatisfiableRange(Exception):
    """The file ends before the range begins."""


def asked_range(request: Mapping[str, str], size: int, etag: str) -> ByteRange | None:
    """The range that a request's headers ask for; None for the whole file.

    Several ranges, other units and a file that has changed since (`If-Range`) give the whole file,
    as the standard allows.  Raises UnsatisfiableRange.
    """
    asked = _BYTES.fullmatch(request.get("range", ""))
    if asked is None or request.get("if-range", etag) != etag:
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    if not first:  # the last so many bytes
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None  # not a range at all
    if start >= end:
        raise UnsatisfiableRange
    return ByteRange(start, end, size)
