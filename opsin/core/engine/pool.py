"""The threads for decoding, preparing and light runners, work in progress before new work."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger("opsin.engine")


class CpuPool:
    """A fixed number of threads; `first` jobs, which finish what was begun, go before others.

    Far lighter per job than an executor: no future, no lock.
    """

    def __init__(self, threads: int) -> None:
        self.size = threads
        # One token a job, so a thread that has a token finds a job; tokens beyond end threads.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._first: deque[Callable[[], None]] = deque()
        self._rest: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self) -> None:
        """Start the threads, before the first job."""
        if self._threads:
            return
        for number in range(self.size):
            thread = threading.Thread(target=self._work, name=f"opsin-cpu-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, job: Callable[[], None], *, first: bool = False) -> None:
        """Run `job`, which handles its own errors, on some thread; ignored once closed."""
        if self._closed:
            return
        (self._first if first else self._rest).append(job)
        self._tokens.put(None)

    def close(self, until: float) -> None:
        """End the threads once their jobs are done, waiting at most until then."""
        self._closed = True
        for _ in self._threads:
            self._tokens.put(None)
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _work(self) -> None:
        while True:
            self._tokens.get()
            try:
                job = self._next()
            except IndexError:
                return
            try:
                job()
            except BaseException:  # a thread lost here would be missed by every later request
                logger.exception("a job of the engine failed")
            del job  # while this thread waits it must not keep a picture alive

    def _next(self) -> Callable[[], None]:
        try:
            return self._first.popleft()
        except IndexError:
            return self._rest.popleft()


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
