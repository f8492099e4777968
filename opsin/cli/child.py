"""What a process of `opsin serve --workers` inherits of its parent, and what it tells it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_READY = b"ready\n"
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Inherited:
    """The socket to listen on (None: nothing), the line to the parent, and who else there is.

    `name` is the place among its siblings, whose private sockets are in `folder`.
    """

    name: str
    folder: Path
    line: int
    listener: int | None = None

    def as_option(self) -> str:
        """As one argument of a command line."""
        listener = "" if self.listener is None else str(self.listener)
        return f"{self.name}:{self.line}:{listener}:{self.folder}"

    @classmethod
    def of_option(cls, text: str) -> "Inherited":
        name, line, listener, folder = text.split(":", 3)
        return cls(name, Path(folder), int(line), int(listener) if listener else None)

    def listening(self) -> socket.socket:
        """The parent's socket, to be closed like any other."""
        assert self.listener is not None, "a process that serves has been given a socket"
        return socket.socket(fileno=self.listener)


class ParentLine:
    """Tells the parent that this process is ready, and ends it in order when the parent is gone."""

    def __init__(self, inherited: Inherited) -> None:
        self._socket = socket.socket(fileno=inherited.line)
        self._socket.setblocking(False)
        self._watching: asyncio.Task[None] | None = None

    def ready(self, is_warm: Callable[[], bool]) -> None:
        """Tell it as soon as what is to be warm is; to be called on the event loop."""
        self._watching = asyncio.create_task(self._watch(is_warm))

    async def _watch(self, is_warm: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while not is_warm():  # noqa: ASYNC110 - nobody waits on this but the parent
            await asyncio.sleep(_LOOK_SECONDS)
        try:
            await loop.sock_sendall(self._socket, _READY)
            # The parent says nothing: what comes is the end of it.
            await loop.sock_recv(self._socket, 1)
        except OSError:
            pass  # it was gone before
        os.kill(os.getpid(), signal.SIGTERM)
