"""Where downloads go: a file that appears whole or not at all, or memory."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


class Download:
    """A file beside its place, which takes that place when all of it has come."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._file: IO[bytes] | None = None

    def begin(self) -> None:
        self._close()
        self._file = self._part.open("wb")

    def receive(self, piece: bytes) -> None:
        assert self._file is not None, "it has begun"
        self._file.write(piece)

    def finish(self) -> Path:
        self._close()
        self._part.replace(self.path)
        return self.path

    def abandon(self) -> None:
        self._close()
        with suppress(FileNotFoundError):
            self._part.unlink()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
