"""Decoding on the pool, once for all who ask; decoded pictures keep to their share of memory."""

import time
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count

from opsin.core.bounded_cache import BoundedCache, CacheCounts
from opsin.core.engine.failures import as_opsin_error
from opsin.core.engine.mailbox import Mailbox
from opsin.core.engine.pool import CpuPool
from opsin.core.errors import OpsinError
from opsin.core.imaging import DecodedImage, DecodeOptions, ImageLimits, Source, decode

Decoded = Callable[[DecodedImage | OpsinError, float], None]
"""Called on the event loop with the picture and the seconds it took, waiting included."""
Key = tuple[str, DecodeOptions]


class Picture:
    """A picture asked to be decoded; its pixels are counted until it is released.

    `content` names its bytes: pictures of one name share their pixels.  None shares nothing.
    """

    __slots__ = ("asked", "key", "options", "pixels", "source", "then")

    def __init__(
        self, source: Source, options: DecodeOptions, then: Decoded, content: str | None = None
    ) -> None:
        self.source: Source | None = source
        """None once it is released."""
        self.options = options
        self.then = then
        self.key: Key | None = None if content is None else (content, options)
        self.asked = time.monotonic()
        self.pixels: _Pixels | None = None


class _Pixels:
    """A decoded picture and how many use it."""

    __slots__ = ("image", "key", "size", "users")

    def __init__(self, image: DecodedImage, key: Key | None) -> None:
        self.image = image
        self.key = key
        self.size = image.pixels.nbytes
        self.users = 0


class _Job:
    """One decode, and the pictures that wait for it: one, or several of the same content."""

    __slots__ = ("begun", "key", "pictures")

    def __init__(self, picture: Picture) -> None:
        self.key = picture.key
        self.pictures = [picture]
        self.begun = False

    def wanted(self) -> list[Picture]:
        """Those that are not released."""
        return [picture for picture in self.pictures if picture.source is not None]


class Decoder:
    """Decodes pictures; lives on the event loop.

    Decoding is quicker than most devices, and decoded pictures are large: more are decoded only
    while those in use take less than `budget` bytes.  As a picture's size is known only once it
    is decoded, the few that are decoded at one time may go over it.

    Pictures with a name that nobody uses any more are kept for the next asker, `cache` bytes of
    them at most, and only in what room the budget leaves.
    """

    def __init__(
        self,
        pool: CpuPool,
        mailbox: Mailbox,
        limits: ImageLimits,
        budget: int,
        cache: int = 0,
    ) -> None:
        self._pool = pool
        self._mailbox = mailbox
        self._limits = limits
        self._budget = budget
        self._used = 0  # bytes, those kept for later included
        self._decoding = 0
        self._arrivals = count()
        self._waiting: list[tuple[float, int, _Job]] = []
        self._jobs: dict[Key, _Job] = {}
        self._in_use: dict[Key, _Pixels] = {}
        self._idle: BoundedCache[Key, _Pixels] = BoundedCache(min(cache, budget), self._evicted)
        self.counts = CacheCounts()

    def start(self, picture: Picture, priority: int) -> None:
        """Decode as soon as there is room; a step of priority is worth one second of waiting.

        Calls back at once with pixels that are there.
        """
        key = picture.key
        job = None
        if key is not None:
            pixels = self._in_use.get(key) or self._idle.take(key)
            if pixels is not None:
                self.counts.hits += 1
                self._hand_out(pixels, [picture])
                return
            job = self._jobs.get(key)
        if job is not None:
            self.counts.shared += 1
            job.pictures.append(picture)
        else:
            job = _Job(picture)
            if key is not None:
                self.counts.misses += 1
                self._jobs[key] = job
        # A job may be in line several times: once for each who asked, the most urgent counts.
        self._line_up(job, picture.asked - priority)
        self._go_on()

    def release(self, picture: Picture) -> None:
        """The picture is no longer needed; decoded or not, it takes no memory from here on."""
        picture.source = None
        pixels, picture.pixels = picture.pixels, None
        if pixels is not None:
            self._put_back(pixels)
        self._go_on()

    def _line_up(self, job: _Job, order: float) -> None:
        if not job.begun:
            heappush(self._waiting, (order, next(self._arrivals), job))

    def _go_on(self) -> None:
        # Twice the threads: none of them waits while the event loop hears of the last picture.
        most = 2 * self._pool.size
        while self._waiting and self._decoding < most and self._has_room():
            job = heappop(self._waiting)[2]
            if job.begun:
                continue
            if not job.wanted():
                self._forget(job)
                continue
            job.begun = True
            self._decoding += 1
            self._pool.submit(partial(self._decode, job))

    def _has_room(self) -> bool:
        """Whether another picture may be decoded; what is only kept for later makes way."""
        self._make_way(self._budget - 1)
        return self._used < self._budget

    def _make_way(self, most: int) -> None:
        """Keep no more than fits into `most` bytes beside what is in use."""
        if self._used > most:
            self._idle.shrink(self._idle.size - (self._used - most))

    def _decode(self, job: _Job) -> None:
        """On the pool."""
        answer: DecodedImage | OpsinError | None = None
        picture = source = None
        for picture in tuple(job.pictures):
            if (source := picture.source) is not None:
                break
        if picture is not None and source is not None:
            try:
                answer = decode(source, self._limits, picture.options)
            except BaseException as error:  # e.g. MemoryError
                answer = as_opsin_error(error, "decoding the picture")
        self._mailbox.post(self._decoded, (job, picture, answer))

    def _decoded(
        self, message: tuple[_Job, Picture | None, DecodedImage | OpsinError | None]
    ) -> None:
        job, picture, answer = message
        self._decoding -= 1
        if isinstance(answer, DecodedImage):
            self._forget(job)
            pixels = _Pixels(answer, job.key)
            self._used += pixels.size
            pixels.users += 1  # ours, until those who wait have theirs
            self._make_way(self._budget)
            self._hand_out(pixels, job.wanted())
            self._put_back(pixels)
        else:
            self._failed(job, picture, answer)
        self._go_on()

    def _failed(self, job: _Job, picture: Picture | None, error: OpsinError | None) -> None:
        """A failure is that of one source: it may be a file whose owner has closed it meanwhile."""
        if error is not None and picture is not None and picture.source is not None:
            job.pictures.remove(picture)
            picture.then(error, time.monotonic() - picture.asked)
        job.pictures = job.wanted()
        job.begun = False
        if not job.pictures:
            self._forget(job)
        for other in job.pictures:
            self._line_up(job, other.asked)

    def _hand_out(self, pixels: _Pixels, pictures: list[Picture]) -> None:
        if pictures and pixels.key is not None:
            self._in_use[pixels.key] = pixels
        for picture in pictures:
            picture.pixels = pixels
            pixels.users += 1
        now = time.monotonic()
        for picture in pictures:
            picture.then(pixels.image, now - picture.asked)

    def _put_back(self, pixels: _Pixels) -> None:
        pixels.users -= 1
        if pixels.users:
            return
        if pixels.key is None:
            self._used -= pixels.size
            return
        self._in_use.pop(pixels.key, None)
        self._idle.put(pixels.key, pixels, pixels.size)
        self._make_way(self._budget)

    def _evicted(self, key: Key, pixels: _Pixels) -> None:
        self._used -= pixels.size

    def _forget(self, job: _Job) -> None:
        if job.key is not None:
            self._jobs.pop(job.key, None)
