"""Pictures that a client of this machine has left in shared memory: read there, never changed."""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from opsin.core.errors import ConfigurationError, InvalidImage, InvalidInput

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes: TypeAlias = npt.NDArray[np.uint8]

_FOLDER = Path("/dev/shm")
"""Where Linux shows shared memory as files."""
_NAME = re.compile(r"/?([A-Za-z0-9_.-]{1,250})")
# A name could be that of a link or of a pipe, too: neither is followed or waited for.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def check_support() -> None:
    """Raises ConfigurationError on a system whose shared memory cannot be read like a file."""
    if sys.platform != "linux" or not _FOLDER.is_dir():
        raise ConfigurationError("OPSIN_PEKAT_SHARED_MEMORY: this is for Linux, with /dev/shm")


class SharedMemory:
    """The memory of one name, to be read.

    Read and not mapped: a client that shrinks mapped memory would end this process.  Nor with
    `multiprocessing.shared_memory`, whose tracker would remove the client's memory in the end.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, start: int, size: int) -> "Bytes":
        """A copy of some bytes; raises InvalidImage when the memory has shrunk meanwhile."""
        copy = bytearray(size)
        if os.preadv(self._descriptor, [copy], start) != size:
            raise InvalidImage("the shared memory has shrunk")
        return np.frombuffer(copy, np.uint8)


@contextmanager
def attached(name: str | None) -> Iterator[SharedMemory]:
    """The shared memory of that name; raises InvalidInput when there is none."""
    matched = _NAME.fullmatch(name or "")
    if matched is None or matched[1] in (".", ".."):
        raise InvalidInput("name must be given, as that of a shared memory")
    missing = InvalidInput("there is no shared memory of that name here")
    try:
        descriptor = os.open(_FOLDER / matched[1], _FLAGS)
    except OSError:
        raise missing from None
    try:
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode):
            raise missing
        yield SharedMemory(descriptor, told.st_size)
    finally:
        os.close(descriptor)
