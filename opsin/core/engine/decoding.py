"""Decoding on the pool, held back while decoded pictures fill their share of memory."""

import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count

from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.pool import CpuPool
from opsin.core.errors import OpsinError
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageLimits, Source, decode

Decoded = Callable[[DecodedImage | OpsinError, float], None]
"""Called on the event loop with the picture and the seconds it took, waiting included."""


class Picture:
    """A picture asked to be decoded; its pixels are counted until it is released."""

    __slots__ = ("asked", "options", "size", "source", "then")

    def __init__(self, source: Source, options: DecodeOptions, then: Decoded) -> None:
        self.source: Source | None = source
        self.options = options
        self.then = then
        self.asked = time.monotonic()
        self.size = 0


class Decoder:
    """Decodes pictures; lives on the event loop.

    Decoding is quicker than most devices, and decoded pictures are large: more are decoded only
    while those in use take less than `budget` bytes.  As a picture's size is known only once it
    is decoded, the few that are decoded at one time may go over it.
    """

    def __init__(self, pool: CpuPool, mailbox: Mailbox, limits: ImageLimits, budget: int) -> None:
        self._pool = pool
        self._mailbox = mailbox
        self._limits = limits
        self._budget = budget
        self._used = 0
        self._decoding = 0
        self._arrivals = count()
        self._waiting: list[tuple[float, int, Picture]] = []

    def start(self, picture: Picture, priority: int) -> None:
        """Decode as soon as there is room; a step of priority is worth one second of waiting."""
        heappush(self._waiting, (picture.asked - priority, next(self._arrivals), picture))
        self._go_on()

    def release(self, picture: Picture) -> None:
        """The picture is no longer needed; decoded or not, it takes no memory from here on."""
        picture.source = None
        self._used -= picture.size
        picture.size = 0
        self._go_on()

    def _go_on(self) -> None:
        # Twice the threads: none of them waits while the event loop hears of the last picture.
        most = 2 * self._pool.size
        while self._waiting and self._decoding < most and self._used < self._budget:
            self._decoding += 1
            self._pool.submit(partial(self._decode, heappop(self._waiting)[2]))

    def _decode(self, picture: Picture) -> None:
        """On the pool."""
        answer: DecodedImage | OpsinError | None = None
        source = picture.source
        if source is not None:
            try:
                answer = decode(source, self._limits, picture.options)
            except BaseException as error:  # e.g. MemoryError
                answer = as_opsin_error(error, "decoding the picture")
        self._mailbox.post(self._decoded, (picture, answer))

    def _decoded(self, message: tuple[Picture, DecodedImage | OpsinError | None]) -> None:
        picture, answer = message
        self._decoding -= 1
        if picture.source is not None and answer is not None:
            picture.size = 0 if isinstance(answer, OpsinError) else answer.pixels.nbytes
            self._used += picture.size
            picture.then(answer, time.monotonic() - picture.asked)
        self._go_on()
