"""Models in memory that several runners use: each built once, and gone with its last runner."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from opsin.core.engine.device import bytes_of

Model = TypeVar("Model")


class SharedPool:
    """The shared models of one engine; each load takes its own `Share` of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, key: Hashable) -> "_Entry":
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.holders += 1
            return entry

    def give_back(self, key: Hashable) -> None:
        with self._lock:
            entry = self._entries[key]
            entry.holders -= 1
            if not entry.holders:
                del self._entries[key]
        # `entry`, and with it perhaps the model, goes here: outside of the lock.


class Share:
    """What one runner takes of the shared models, from its load until it is closed; any thread."""

    def __init__(self, pool: SharedPool) -> None:
        self._pool = pool
        self._taken: dict[Hashable, _Entry] = {}
        self._released = False

    def get(self, key: Hashable, build: Callable[[], Model]) -> Model:
        """The object under `key`; who comes while it is built waits, and builds if that fails."""
        if self._released:
            raise RuntimeError("models are shared while a runner is loaded, not later")
        entry = self._taken.get(key)
        if entry is None:
            entry = self._taken[key] = self._pool.take(key)
        model: Model = entry.built(build)
        return model

    def bytes_by_key(self) -> dict[Hashable, int]:
        """The shared models that were taken, and the bytes of the tensors in each."""
        return {key: entry.bytes for key, entry in self._taken.items()}

    def release(self) -> None:
        """The runner is closed."""
        self._released = True
        while self._taken:
            key, _ = self._taken.popitem()
            self._pool.give_back(key)


class _Entry:
    """One model, and how many runners hold it."""

    def __init__(self) -> None:
        self.holders = 0
        self.bytes = 0
        self._building = threading.RLock()  # a build that asks for itself recurses, and is told so
        self._model: list[Any] = []

    def built(self, build: Callable[[], Any]) -> Any:
        with self._building:
            if not self._model:
                self._model.append(build())
                self.bytes = bytes_of(self._model[0])
            return self._model[0]
