"""This process's end of the messenger: starts it, speaks with it, starts another when it ends."""

import logging
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from opsin.core.engine.ray.messenger_process import MessengerProcess
from opsin.core.engine.ray.order import Order, Told
from opsin.core.engine.ray.placement import Placement
from opsin.core.engine.ray.shelf import Shelf
from opsin.core.engine.ray.wire import (
    Answered,
    Ask,
    Beat,
    Began,
    Close,
    Connect,
    Connected,
    Drop,
    Failed,
    Grow,
    Heard,
    Joined,
    Left,
    Open,
    Send,
    Wire,
)
from opsin.core.errors import ClusterLost, OpsinError

logger = logging.getLogger("opsin.engine")

_CONNECTING = 90.0  # seconds that the messenger may take for its first word
_PATIENCE = 15.0  # seconds that items wait for a cluster that is out of reach
_SILENCE = 20.0  # seconds without a beat, or without a word of the cluster
_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0)  # seconds before the next messenger


class Shipper(Protocol):
    """Who hears of a crew and of its shipments; called on the link's threads."""

    def began(self, number: int) -> None:
        """A process has found its place, and loads its runner."""

    def joined(self, number: int, told: Told) -> None: ...
    def left(self, number: int, error: OpsinError | None, *, is_lost: bool) -> None: ...
    def answered(self, shipment: int, reply: bytes) -> None: ...
    def failed(self, shipment: int, error: OpsinError | None) -> None: ...
    def heard(self, shipment: int, texts: dict[int, str]) -> None: ...
    def disconnected(self) -> None:
        """All processes are out of reach, and whatever was sent to them is lost."""


class Link:
    """The connection of one engine to one cluster; made when the first runner is wanted."""

    def __init__(self, address: str | None, namespace: str) -> None:
        self._connect = Connect(address, namespace, list(sys.path))
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._shelf = Shelf()
        self._wire: Wire | None = None
        self._messenger: MessengerProcess | None = None
        self._crews: dict[int, tuple[Open, Shipper]] = {}
        self._shipments: dict[int, Shipper] = {}
        self._next = 0
        self._is_up = self._was_up = False
        self._lost_since: float | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._beat = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether the cluster is out of reach."""
        return self._lost_since is not None

    @property
    def is_lost_for_long(self) -> bool:
        """Whether nobody should wait for it any longer; the first connection may start it."""
        since = self._lost_since
        patience = _PATIENCE if self._was_up else _CONNECTING
        return since is not None and time.monotonic() - since > patience

    def open(self, order: Order, placement: Placement, shipper: Shipper) -> int:
        """Tell `shipper` of the order's processes from now on; the number is its crew's."""
        with self._lock:
            self._next += 1
            crew = self._next
            word = Open(crew, order, placement)
            self._crews[crew] = word, shipper
            if self._thread is None:
                self._lost_since = time.monotonic()
                self._thread = threading.Thread(target=self._main, name="opsin-ray", daemon=True)
                self._thread.start()
            is_up = self._is_up
        if is_up:
            self._say(word)
        return crew

    def close_crew(self, crew: int) -> None:
        with self._lock:
            self._crews.pop(crew, None)
        self._say(Close(crew))

    def grow(self, crew: int, number: int) -> None:
        self._say(Grow(crew, number))

    def ask(self, shipment: int) -> None:
        self._say(Ask(shipment))

    def number(self, shipper: Shipper) -> int:
        """A name for a shipment that is about to be sent."""
        with self._lock:
            self._next += 1
            self._shipments[self._next] = shipper
            return self._next

    def send(
        self,
        shipment: int,
        crew: int,
        number: int,
        parcel: bytes,
        name: str,
        pictures: Sequence[Any],
    ) -> bool:
        """Hand a parcel to the messenger; False when nobody will hear of it.

        There is none then, or it is another than when the shipment got its number.
        """
        import numpy as np

        with self._sending:
            wire = self._wire
            if wire is None or not self._is_up or shipment not in self._shipments:
                self._shipments.pop(shipment, None)
                return False
            told, blobs, dropped = [], [], []
            for picture in pictures:
                how, goes_along, old = self._shelf.put(picture)
                told.append(how)
                dropped += old
                if goes_along:
                    blobs.append(np.ascontiguousarray(picture).reshape(-1).data)
            try:
                wire.send(Send(shipment, crew, number, parcel, name, told), blobs)
                if dropped:
                    wire.send(Drop(dropped))
            except OSError:  # its end is noticed by the reader, who tells of all that was lost
                return True
        return True

    def close(self, until: float) -> None:
        """End the messenger."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(max(until - time.monotonic(), 0.1))

    def _say(self, word: Any) -> None:
        wire = self._wire
        if wire is None or not self._is_up:
            return  # a crew is opened anew with the next messenger, anything else is obsolete
        try:
            wire.send(word)
        except OSError:
            logger.debug("the messenger has ended")

    def _main(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                self._start()
                self._listen()
            except (EOFError, OSError) as error:
                logger.debug("the messenger has ended: %s", error)
            except Exception:
                logger.exception("the messenger cannot be understood")
            was_up = self._is_up
            self._end()
            self._lose()
            if self._closing.is_set():
                return
            failures = 0 if was_up else failures + 1
            if was_up or failures == 1:
                logger.warning("the Ray cluster is out of reach; connecting again")
            self._closing.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _start(self) -> None:
        self._messenger = MessengerProcess()
        self._wire = wire = self._messenger.wire
        wire.send(self._connect)
        self._beat = time.monotonic()

    def _listen(self) -> None:
        wire = self._wire
        assert wire is not None
        started = time.monotonic()
        while True:
            while not wire.poll(0.25):
                self._check(started)
            word = wire.read()
            if isinstance(word, Beat):
                self._beat = time.monotonic() - word.silent
                self._check(started)
            elif isinstance(word, Connected):
                self._connected()
            else:
                self._hear(word)

    def _check(self, started: float) -> None:
        now = time.monotonic()
        if self._closing.is_set():
            raise EOFError("closing")
        if self._is_up and now - self._beat > _SILENCE:
            raise EOFError("the cluster is silent")
        if not self._is_up and now - started > _CONNECTING:
            raise EOFError("no cluster can be joined")

    def _connected(self) -> None:
        with self._sending, self._lock:
            self._shelf.clear()
            self._is_up = self._was_up = True
            self._beat = time.monotonic()
            self._lost_since = None
            crews = [word for word, _ in self._crews.values()]
        logger.info("connected to the Ray cluster")
        for word in crews:
            self._say(word)

    def _hear(self, word: Any) -> None:
        if isinstance(word, Began | Joined | Left):
            with self._lock:
                _, shipper = self._crews.get(word.crew, (None, None))
            if shipper is None:
                return
            if isinstance(word, Began):
                shipper.began(word.number)
            elif isinstance(word, Joined):
                shipper.joined(word.number, word.told)
            else:
                error = None if word.fault is None else word.fault.error()
                shipper.left(word.number, error, is_lost=word.is_lost)
        elif isinstance(word, Answered):
            assert self._wire is not None
            reply = self._wire.blob()
            if (waiting := self._shipments.pop(word.shipment, None)) is not None:
                waiting.answered(word.shipment, bytes(reply))
        elif isinstance(word, Failed):
            if (waiting := self._shipments.pop(word.shipment, None)) is not None:
                error = None if word.fault is None else word.fault.error()
                waiting.failed(word.shipment, error)
        elif isinstance(word, Heard) and word.shipment in self._shipments:
            self._shipments[word.shipment].heard(word.shipment, word.texts)

    def _end(self) -> None:
        """Give up the messenger, whatever it is doing."""
        messenger, self._messenger = self._messenger, None
        if messenger is not None:
            messenger.end(at_once=not self._closing.is_set())

    def _lose(self) -> None:
        """Tell everybody that what they sent is lost."""
        with self._sending, self._lock:
            self._is_up = False
            if self._wire is not None:
                self._wire.close()
                self._wire = None
            if self._lost_since is None:
                self._lost_since = time.monotonic()
            # A crew that was closed has none to come any more, but may have shipments yet.
            shippers = [shipper for _, shipper in self._crews.values()]
            shippers = list(dict.fromkeys([*shippers, *self._shipments.values()]))
            self._shipments.clear()
        for shipper in shippers:
            shipper.disconnected()


def lost(what: str) -> ClusterLost:
    """The error while the cluster is out of reach."""
    return ClusterLost(f"the machines that run {what} cannot be reached now", retry_after=5.0)
