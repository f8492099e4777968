"""A JSON file that is read in pieces: its parts found, parsed by the thousand, and told by line."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from opsin.core.errors import InvalidInput
from opsin.core.imports.found import Place, Refusal
from opsin.core.imports.json_spans import (
    CHUNK_BYTES,
    Broken,
    Outline,
    Positions,
    Spans,
    lines,
    outline,
)
from opsin.storage.json_text import parse_json

LARGEST_VALUE = 256 << 20
"""Bytes of the longest piece that is parsed at once; the objects take several times that."""
_MOST_MEMBERS = 10_000
_LONGEST_REST = 64 << 20
_BATCH = 2000
_MARK = "\u2028span"
"""A name that stands for a value left out: no tool writes it."""


class JsonFile:
    """One file, of lines or of one document; `name` is how messages call it."""

    def __init__(self, path: Path, name: str, *, by_line: bool = False) -> None:
        self.name = name
        # Closed by its owner, after all that reads it.
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        self.size = path.stat().st_size
        self.sha256 = ""
        self.by_line = by_line
        self._breaks: list[int] | None = None
        self._outline: Outline | None = None
        try:
            self._look()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _look(self) -> None:
        reader = _Digesting(self._file)
        head = self._text(0, 4)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
            raise InvalidInput(f"{self.name} is not UTF-8; JSON is")
        self.start = 3 if head.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
        self._file.seek(0)
        try:
            if self.by_line:
                self.whole = lines(reader)
            else:
                self._outline = outline(reader)
        except Broken as error:
            raise InvalidInput(f"{self.place(error.offset)}: {error}") from None
        self.sha256 = reader.digest.hexdigest()

    @property
    def is_list(self) -> bool:
        """Whether the outermost value is a list."""
        return self._text(self.start, self.start + 4096).lstrip()[:1] == b"["

    def items(self) -> Spans:
        """The objects in the outermost list, or the lines."""
        if self._outline is None:
            return self.whole
        return self._outline.values

    def members(self) -> dict[str, Any]:
        """The outermost object's members by name; lists and objects as their `Spans`, of one.

        Raises InvalidInput for what is no object.
        """
        assert self._outline is not None
        values = self._outline.values
        if len(values) > _MOST_MEMBERS:
            raise InvalidInput(f"{self.name}: an object of {len(values)} others is in no format")
        # What is left of the file is short, unless it is no such document.
        if self.size - int((values.ends - values.starts).sum()) > _LONGEST_REST:
            raise InvalidInput(f"{self.name} holds little but texts; that is in no format")
        pieces, left = [], self.start
        for number, (start, end) in enumerate(zip(values.starts, values.ends, strict=True)):
            pieces += [self._text(left, int(start)), b'{"%s":%d}' % (_MARK.encode(), number)]
            left = int(end)
        pieces.append(self._text(left, self.size))
        try:
            found = orjson.loads(b"".join(pieces))
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"{self.name} is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise InvalidInput(f"{self.name} is neither a JSON object nor a list of them")
        return {name: self._unmarked(value, values) for name, value in found.items()}

    def inside(self, member: Spans, name: str) -> Spans:
        """The objects in a list that is a member; raises InvalidInput for what is none."""
        assert self._outline is not None
        start = int(member.starts[0])
        if self._text(start, start + 1) != b"[":
            raise InvalidInput(f"{self.name}: {name} must be a list")
        return self._outline.inner.within(int(member.starts[0]), int(member.ends[0]))

    def stray(self, member: Spans, inside: Spans) -> Place | None:
        """Where a list has a text or a number before its first object, or behind its last."""
        start, end = int(member.starts[0]) + 1, int(member.ends[0]) - 1
        first, last = (inside.starts[0], inside.ends[-1]) if len(inside) else (end, end)
        for begin, behind in ((start, int(first)), (int(last), end)):
            if self._text(begin, min(behind, begin + 4096)).strip():
                return self.place(begin)
        return None

    def batches(self, spans: Spans) -> Iterator[tuple[int, Sequence[Any]]]:
        """The values in their order, thousands at a time, each with the number of its first.

        What cannot be parsed is given as its Refusal.
        """
        first = 0
        while first < len(spans):
            # As many as fit, one at least.
            limit = spans.starts[first] + CHUNK_BYTES
            last = int(spans.ends.searchsorted(limit, side="right"))
            last = min(max(last, first + 1), first + _BATCH)
            yield first, self._contiguous(spans, first, last)
            first = last

    def load(self, spans: Spans, which: Positions) -> Sequence[Any]:
        """The values of these numbers; those that cannot be parsed as Refusals."""
        if not len(which):
            return []
        first, last = int(which[0]), int(which[-1]) + 1
        if last - first == len(which):
            return self._contiguous(spans, first, last)
        pieces = [self._text(int(spans.starts[n]), int(spans.ends[n])) for n in which]
        found = _parsed(b"[" + b",".join(pieces) + b"]", len(which))
        return [self.value(spans, int(n)) for n in which] if found is None else found

    def value(self, spans: Spans, number: int) -> Any:
        """One value, with every digit of its integers, or its Refusal."""
        start, end = int(spans.starts[number]), int(spans.ends[number])
        if end - start > LARGEST_VALUE:
            return Refusal(self.place(start), f"longer than {LARGEST_VALUE >> 20} MiB")
        try:
            return parse_json(self._text(start, end))
        except json.JSONDecodeError as error:
            return Refusal(self.place(start + error.pos), f"not JSON: {error.msg}")

    def place(self, offset: int) -> Place:
        """The line of a position; the file is read once for the first of them."""
        if self._breaks is None:
            self._breaks = []
            at = 0
            while text := self._text(at, at + CHUNK_BYTES):
                before = self._breaks[-1] if self._breaks else 0
                self._breaks.append(before + text.count(b"\n"))
                at += len(text)
        chunk, inside = divmod(min(offset, self.size), CHUNK_BYTES)
        before = self._breaks[chunk - 1] if chunk else 0
        return Place(self.name, 1 + before + self._text(offset - inside, offset).count(b"\n"))

    def place_of(self, spans: Spans, number: int) -> Place:
        return self.place(int(spans.starts[number]))

    def text(self, spans: Spans, number: int) -> bytes:
        return self._text(int(spans.starts[number]), int(spans.ends[number]))

    def _contiguous(self, spans: Spans, first: int, last: int) -> Sequence[Any]:
        start, end = int(spans.starts[first]), int(spans.ends[last - 1])
        if end - start > LARGEST_VALUE:
            return [self.value(spans, number) for number in range(first, last)]
        text = self._text(start, end)
        if self.by_line:
            text = text.replace(b"\n", b",")
        if self._is_next(spans, first):
            found = _parsed(b"[" + text + b"]", last - first)
            if found is not None:
                return found
        return [self._apart(spans, number) for number in range(first, last)]

    def _apart(self, spans: Spans, number: int) -> Any:
        if not self._is_next(spans, number):
            before = self.place(int(spans.ends[number - 1]))
            return Refusal(before, "not JSON: there must be a comma, and nothing else")
        return self.value(spans, number)

    def _is_next(self, spans: Spans, number: int) -> bool:
        """Whether there is nothing but a comma between a value and the one before."""
        if number == 0 or self.by_line:
            return True
        between = self._text(int(spans.ends[number - 1]), int(spans.starts[number]))
        return between.strip() == b","

    def _unmarked(self, value: Any, values: Spans) -> Any:
        if not isinstance(value, dict):
            return value
        number = value[_MARK]
        return Spans(values.starts[number : number + 1], values.ends[number : number + 1])

    def _text(self, start: int, end: int) -> bytes:
        with self._lock:
            self._file.seek(start)
            return self._file.read(max(end - start, 0))


class _Digesting:
    """A file whose sha256 is computed while it is read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        chunk: bytes = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def _parsed(text: bytes, count: int) -> list[Any] | None:
    """So many values, all quick to parse; otherwise None, and each must be looked at."""
    try:
        found = parse_json(text)
    except json.JSONDecodeError:
        return None
    return found if len(found) == count else None
