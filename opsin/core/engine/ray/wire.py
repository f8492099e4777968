"""The words between this process and its messenger: one tuple, then the raw bytes it speaks of."""

import pickle
import select
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opsin.core.engine.ray.order import Fault, Order, Told
from opsin.core.engine.ray.placement import Placement

_LENGTH = struct.Struct("!Q")
_BUFFER = 4 * 2**20  # bytes, of which the system may give fewer


@dataclass(frozen=True, slots=True)
class Connect:
    """The first word: which cluster, whose processes; None is the cluster of this machine."""

    address: str | None
    namespace: str
    path: list[str]
    """Where modules are looked for."""


@dataclass(frozen=True, slots=True)
class Open:
    """Bring up the first process for an order, and tell of all that come and go."""

    crew: int
    order: Order
    placement: Placement


@dataclass(frozen=True, slots=True)
class Grow:
    """Bring up one more, of that number."""

    crew: int
    number: int


@dataclass(frozen=True, slots=True)
class Close:
    """Forget a crew; its processes end when they have been idle for long."""

    crew: int


@dataclass(frozen=True, slots=True)
class Send:
    """A parcel for one process; the bytes of its new pictures follow, in their order."""

    shipment: int
    crew: int
    number: int
    parcel: bytes
    name: str
    pictures: list[tuple[str, int, tuple[int, ...]]]
    """`blank`, `small`, `new` or `kept`; the token of one that is kept, and the shape."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Pictures that need not be kept any longer."""

    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Ask:
    """How far the followed items of a shipment have come."""

    shipment: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The cluster is there."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The messenger is alive; so long ago the cluster was heard of."""

    silent: float


@dataclass(frozen=True, slots=True)
class Began:
    """A process has found its place, and loads its runner."""

    crew: int
    number: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A process is ready for batches."""

    crew: int
    number: int
    told: Told


@dataclass(frozen=True, slots=True)
class Left:
    """A process is gone, or not to be had; `is_lost` when nobody told it to go."""

    crew: int
    number: int
    fault: Fault | None
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to a shipment, whose bytes follow; empty when it has to come again."""

    shipment: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A shipment without answers: its process ended, or it could not be sent (then `fault`)."""

    shipment: int
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class Heard:
    """The texts of a shipment's followed items so far, by place."""

    shipment: int
    texts: dict[int, str]


class Wire:
    """One end of the connection; whole messages from any thread, read by one.

    Over a plain socket, whose bytes are read to where they stay: pictures are large.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)

    def send(self, word: Any, blobs: Sequence[Any] = ()) -> None:
        """Raises OSError when nobody reads any more."""
        head = pickle.dumps(word, protocol=5)
        with self._lock:
            self._connection.sendall(_LENGTH.pack(len(head)) + head)
            for blob in blobs:
                view = memoryview(blob).cast("B")
                self._connection.sendall(_LENGTH.pack(len(view)))
                self._connection.sendall(view)

    def poll(self, seconds: float) -> bool:
        """Whether there is something to read."""
        return bool(self._poll.poll(seconds * 1000))

    def read(self) -> Any:
        """Raises EOFError or OSError at the end."""
        return pickle.loads(self.blob())

    def blob(self) -> bytearray:
        """The bytes that follow a word; on the reading thread."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def close(self) -> None:
        self._connection.close()

    def _exactly(self, length: int) -> bytearray:
        read = bytearray(length)
        view, at = memoryview(read), 0
        while at < length:
            got = self._connection.recv_into(view[at:])
            if not got:
                raise EOFError("the other end is gone")
            at += got
        return read
