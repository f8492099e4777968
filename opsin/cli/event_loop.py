"""Runs a command's coroutine, and turns the signals that ask it to stop into calls."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_YOUNG_OBJECTS = 50_000

# From glibc's malloc.h; 32 MiB is the most that the second one takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 32 * 2**20


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C cancels it and raises KeyboardInterrupt."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def slow_collector() -> None:
    """Let Python's garbage collector look seldom: what a command imports stays to its end."""
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def spare_collector() -> None:
    """Tune Python's garbage collector for a process that serves for long.

    What is loaded by now stays; and the thousands of objects of one large request are not walked
    again for every few hundred that are made.
    """
    gc.collect()
    gc.freeze()
    slow_collector()


def keep_freed_memory() -> None:
    """Have the C library keep some megabytes that are free instead of giving them back at once.

    It would ask the system for new pages for every large request body and picture, which costs
    several times as much as filling them.  Does nothing where the library is not glibc.
    """
    import ctypes

    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, Windows
        return
    for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
        set_option(option, _KEPT_BYTES)


async def until_stopped(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work`; SIGINT or SIGTERM cancels it, and then this gives None when it has cleaned up."""
    task = asyncio.ensure_future(work)
    stopped = False

    def stop(_signal: int) -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    with on_stop_signal(stop):
        try:
            return await task
        except asyncio.CancelledError:
            if stopped:
                return None
            raise


@contextlib.contextmanager
def on_stop_signal(stop: Callable[[int], None]) -> Iterator[None]:
    """Call `stop` with each SIGINT and SIGTERM that comes meanwhile."""
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop
