"""The process that speaks with Ray for its parent, and may die with the cluster in its place.

A driver of Ray ends when the cluster's head is silent for a minute or the machine's own raylet is
gone; a server must not.  It ends with its parent, whose end of the connection closes then.
"""

import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from opsin.core.engine.ray.order import Fault
from opsin.core.engine.ray.reclaiming import make_room
from opsin.core.engine.ray.wire import (
    Answered,
    Ask,
    Beat,
    Close,
    Connect,
    Connected,
    Drop,
    Failed,
    Grow,
    Heard,
    Open,
    Send,
    Wire,
)

logger = logging.getLogger("opsin.engine")

_TICK = 0.25  # seconds
_DISCOVER = 3.0  # seconds between two looks at who is there
_BEAT = 2.0


def _nothing() -> None: ...


class Messenger:
    """Reads the parent's words on one thread, speaks with Ray's control on another."""

    def __init__(self, wire: Wire) -> None:
        from opsin.core.engine.ray.fleet import Fleet

        self._fleet_type = Fleet
        self._wire = wire
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._fleets: dict[int, Fleet] = {}
        self._pictures: dict[int, Any] = {}
        self._under_way: dict[int, tuple[Any, str]] = {}
        self._heard_of_cluster = time.monotonic()
        self._namespace = ""
        self._ray: Any = None
        self._ending = False
        self._speaking = threading.Lock()

    def serve(self) -> None:
        """Until the parent is gone."""
        first: Connect = self._wire.read()
        sys.path[:] = first.path
        threading.Thread(target=self._beat, name="opsin-beat", daemon=True).start()
        self._connect(first)
        threading.Thread(target=self._control, name="opsin-control", daemon=True).start()
        self._wire.send(Connected())
        while True:
            word = self._wire.read()
            if isinstance(word, Send):
                self._send(word)
            elif isinstance(word, Drop):
                for token in word.tokens:
                    self._pictures.pop(token, None)
            elif isinstance(word, Ask):
                self._ask(word)
            elif isinstance(word, Open):
                self._jobs.put(partial(self._open, word))
            elif isinstance(word, Grow):
                self._jobs.put(partial(self._grow, word))
            elif isinstance(word, Close):
                self._jobs.put(partial(self._close, word))

    def _connect(self, first: Connect) -> None:
        import ray

        self._namespace = first.namespace
        options: dict[str, Any] = {
            "namespace": first.namespace,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if first.address is None:
            # Joins RAY_ADDRESS, else the cluster that `ray start` has begun here, else begins one.
            ray.init(include_dashboard=False, **options)
        else:
            ray.init(first.address, **options)
        self._ray = ray
        self._heard_of_cluster = time.monotonic()

    def _send(self, word: Send) -> None:
        import numpy as np

        layout: list[tuple[str, Any]] = []
        small: list[Any] = []
        large: list[Any] = []
        for kind, token, shape in word.pictures:
            if kind == "blank":
                layout.append(("blank", shape))
                continue
            if kind != "kept":
                pixels = np.frombuffer(self._wire.blob(), np.uint8).reshape(shape)
                if kind == "small":
                    layout.append(("small", len(small)))
                    small.append(pixels)
                    continue
                self._pictures[token] = pixels  # the parent's shelf has it from now on
            layout.append(("large", len(large)))
            large.append(token)
        fleet = self._fleets.get(word.crew)
        replica = None if fleet is None else fleet.replicas.get(word.number)
        if replica is None:  # it has left meanwhile, of which the parent is told: to come again
            self._wire.send(Answered(word.shipment), [b""])
            return
        try:
            pictures = [self._picture(token) for token in large]
            handle = replica.handle
            answer = handle.run.remote(word.parcel, layout, small, *pictures).future()
            self._under_way[word.shipment] = handle, word.name
        except Exception as error:
            logger.exception("a batch could not be sent")
            self._wire.send(Failed(word.shipment, Fault.of(error, "sending a batch")))
            return
        answer.add_done_callback(partial(self._answered, word))

    def _picture(self, token: int) -> Any:
        """Ray's object of a picture that is kept; made when it is first sent."""
        picture = self._pictures[token]
        if isinstance(picture, self._ray.ObjectRef):
            return picture
        found = self._pictures[token] = self._ray.put(picture)
        return found

    def _answered(self, word: Send, future: Any) -> None:
        """On a thread of Ray's."""
        self._under_way.pop(word.shipment, None)
        error = future.exception()
        try:
            if error is None:
                self._wire.send(Answered(word.shipment), [future.result()])
                return
            fault = None
            if isinstance(error, self._ray.exceptions.RayTaskError):
                fault = Fault.of(error, "a process of the cluster")
            else:
                logger.warning("a process of the cluster ended: %s", type(error).__name__)
                self._jobs.put(partial(self._died, word.crew, word.number))
            self._wire.send(Failed(word.shipment, fault))
        except OSError:  # the parent is gone
            os._exit(0)

    def _ask(self, word: Ask) -> None:
        handle, name = self._under_way.get(word.shipment, (None, ""))
        if handle is None:
            return

        def heard(future: Any) -> None:
            if future.exception() is None and (texts := future.result()):
                self._wire.send(Heard(word.shipment, texts))

        handle.heard.remote(name).future().add_done_callback(heard)

    def _open(self, word: Open) -> None:
        fleet = self._fleet_type(
            word.crew, word.order, word.placement, self._namespace, self._wire.send, self._jobs.put
        )
        self._fleets[word.crew] = fleet
        fleet.bring_up(0)
        self._discover()

    def _grow(self, word: Grow) -> None:
        if word.crew in self._fleets:
            self._fleets[word.crew].bring_up(word.number)

    def _close(self, word: Close) -> None:
        self._fleets.pop(word.crew, None)

    def _died(self, crew: int, number: int) -> None:
        if crew in self._fleets:
            self._fleets[crew].died(number)

    def end(self) -> None:
        """Take leave of the cluster."""
        self._ending = True  # what Ray is asked after this would start a cluster
        with self._speaking:
            if self._ray is not None and self._ray.is_initialized():
                self._ray.shutdown()

    def _control(self) -> None:
        discover_at = 0.0
        while not self._ending:
            try:
                job = self._jobs.get(timeout=_TICK)
            except queue.Empty:
                job = _nothing
            with self._speaking:
                if self._ending:
                    return
                try:
                    job()
                    now = time.monotonic()
                    for fleet in tuple(self._fleets.values()):
                        fleet.tick(now)
                    if now >= discover_at:
                        discover_at = now + _DISCOVER
                        self._discover()
                        self._heard_of_cluster = time.monotonic()
                except Exception:
                    logger.exception("the cluster could not be spoken with")

    def _discover(self) -> None:
        names = set(self._ray.util.list_named_actors())
        now = time.monotonic()
        for fleet in self._fleets.values():
            fleet.discovered(names)
        for fleet in self._fleets.values():
            if fleet.lacks_room(now):
                make_room(self._ray, names, fleet.prefix)
                break

    def _beat(self) -> None:
        while True:
            try:
                self._wire.send(Beat(time.monotonic() - self._heard_of_cluster))
            except OSError:
                os._exit(0)
            time.sleep(_BEAT)


def main() -> None:
    """With the number of an open connection as the only argument."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    messenger = Messenger(Wire(socket.socket(fileno=int(sys.argv[1]))))
    try:
        messenger.serve()
    except (EOFError, OSError):
        messenger.end()
    except Exception as error:
        logger.warning("no Ray cluster can be joined: %s", error)
    finally:
        sys.stderr.flush()
        os._exit(0)  # no thread of Ray's may keep it


if __name__ == "__main__":
    main()
