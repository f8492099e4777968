"""Which pictures the messenger keeps, so that several operations' batches carry them once."""

import weakref
from collections import OrderedDict
from itertools import count
from typing import Any

_SMALL = 4 * 2**20
"""Bytes up to which a picture travels with its batch: an object of its own costs more to make than
it saves where several operations want it."""


class Shelf:
    """Guarded by the link that owns it.  `limit` bounds the bytes that are kept."""

    def __init__(self, limit: int = 128 * 2**20) -> None:
        self._limit = limit
        self._size = 0
        self._tokens = count(1)
        # By identity; the weak reference tells a picture from another one in its place.
        self._kept: OrderedDict[int, tuple[int, int, weakref.ref[Any]]] = OrderedDict()

    def clear(self) -> None:
        """The messenger is another one, and has nothing."""
        self._kept.clear()
        self._size = 0

    def put(self, picture: Any) -> tuple[tuple[str, int, tuple[int, ...]], bool, list[int]]:
        """How the picture is spoken of, whether its bytes go with it, and tokens to drop."""
        shape = tuple(picture.shape)
        if picture.strides[:2] == (0, 0) and picture.size:
            return ("blank", 0, shape[:2]), False, []
        if picture.nbytes <= _SMALL:
            return ("small", 0, shape), True, []
        known = self._kept.get(id(picture))
        if known is not None and known[2]() is picture:
            self._kept.move_to_end(id(picture))
            return ("kept", known[0], shape), False, []
        token = next(self._tokens)
        if known is not None:
            self._size -= known[1]
        self._kept[id(picture)] = token, picture.nbytes, weakref.ref(picture)
        self._kept.move_to_end(id(picture))
        self._size += picture.nbytes
        dropped = [] if known is None else [known[0]]
        while self._size > self._limit and len(self._kept) > 1:
            _, (old, size, _) = self._kept.popitem(last=False)
            self._size -= size
            dropped.append(old)
        return ("new", token, shape), True, dropped
