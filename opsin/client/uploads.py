"""Files on their way to the server: from a path, from memory, or from anything that reads."""

import base64
import hashlib
import io
import json
import mimetypes
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, TypeAlias

Source: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes]"
"""A path, the bytes themselves, or an open binary file, which is read from where it stands."""
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all; after a lost connection from 0 again."""

_PIECE = 256 * 1024


class FileBody:
    """A file that can be sent as often as need be; close it when it has arrived."""

    def __init__(self, source: Source, progress: Progress | None = None) -> None:
        """Reads it once, for its size and digest; what cannot be rewound is copied to the disk."""
        self._closing = ExitStack()
        self._progress = progress
        self._file = self._opened(source)
        self._start = self._file.tell()
        digest, self.size = hashlib.sha256(), 0
        while piece := self._file.read(_PIECE):
            digest.update(piece)
            self.size += len(piece)
        self.sha256 = digest.hexdigest()
        self.digest_base64 = base64.b64encode(digest.digest()).decode()

    def pieces(self) -> Iterator[bytes]:
        self._file.seek(self._start)
        left = self.size
        while left and (piece := self._file.read(min(_PIECE, left))):
            yield piece
            left -= len(piece)

    def chunks(self) -> Iterator[bytes]:
        sent = 0
        for piece in self.pieces():
            yield piece
            sent += len(piece)
            if self._progress is not None:
                self._progress(sent, self.size)

    def close(self) -> None:
        """Close what was opened here; a file of the caller's stays open."""
        self._closing.close()

    def _opened(self, source: Source) -> IO[bytes]:
        if isinstance(source, bytes):
            return io.BytesIO(source)
        if isinstance(source, str | os.PathLike):
            return self._closing.enter_context(Path(source).open("rb"))
        if source.seekable():
            return source
        copy: IO[bytes] = tempfile.SpooledTemporaryFile(2**20)  # noqa: SIM115  # closed with self
        self._closing.callback(copy.close)
        while piece := source.read(_PIECE):
            copy.write(piece)
        copy.seek(0)
        return copy


class FormBody:
    """A multipart form with one file and perhaps metadata."""

    def __init__(self, file: FileBody, filename: str, metadata: Mapping[str, Any] | None) -> None:
        boundary = f"opsin-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = []
        if metadata is not None:
            text = json.dumps(metadata)
            head = 'Content-Disposition: form-data; name="metadata"'
            parts.append(f"--{boundary}\r\n{head}\r\n\r\n{text}\r\n")
        kind = content_type_of(filename)
        # As browsers write it.
        name = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        parts.append(f"--{boundary}\r\n{head}\r\nContent-Type: {kind}\r\n\r\n")
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self.size = len(self._head) + file.size + len(self._tail)

    def pieces(self) -> Iterator[bytes]:
        yield self._head
        yield from self._file.pieces()
        yield self._tail

    def chunks(self) -> Iterator[bytes]:
        yield self._head
        yield from self._file.chunks()
        yield self._tail


def content_type_of(filename: str) -> str:
    """By the ending of the name; bytes of any kind where that says nothing."""
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def name_of(source: Source) -> str:
    """The file's own name; ValueError where it has none."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    name = getattr(source, "name", None)
    if not isinstance(name, str):
        raise ValueError("bytes and unnamed files need a name")
    return Path(name).name
