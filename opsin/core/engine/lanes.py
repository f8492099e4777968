"""The lanes of an engine: a thread for each device, the CPU pool for runners that need none."""

import threading
import time
from typing import TYPE_CHECKING

from opsin.core.engine.batch_size import BatchSizes
from opsin.core.engine.batching import RunnerQueue
from opsin.core.engine.lane import Lane, Post, Work
from opsin.core.engine.pool import CpuPool

if TYPE_CHECKING:
    from opsin.core.engine.loading import LoadedRunner


class DeviceLane(Lane):
    """One thread, on which every runner of one device runs: devices and torch want it so."""

    is_shared = True

    def __init__(self, device: str, pool: CpuPool, post: Post) -> None:
        super().__init__(pool, post)
        self._leaving: list[RunnerQueue] = []
        self._thread = threading.Thread(target=self._main, name=f"opsin-{device}", daemon=True)
        self._thread.start()

    def close(self, until: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(max(until - time.monotonic(), 0.0))

    def _wake(self) -> None:
        self._changed.notify()

    def _close_soon(self, queue: RunnerQueue) -> None:
        self._leaving.append(queue)
        self._changed.notify()

    def _main(self) -> None:
        while not self._closing:
            try:
                self._serve()
            except BaseException as error:
                self._collapse(error)
        for queue in (*self._leaving, *self._share.queues):
            queue.loaded.close()

    def _serve(self) -> None:
        while (work := self._wait()) is not None:
            work()
            del work  # while this thread waits it must not keep pictures alive

    def _wait(self) -> Work | None:
        """A runner to close or the next batch; None when the lane is closed."""
        with self._changed:
            while not self._closing:
                if self._leaving:  # first, for somebody waits for the memory
                    return self._leaving.pop().loaded.close
                if (work := self._take()) is not None:
                    return work
                self._changed.wait()
        return None


class PoolLane(Lane):
    """Turns of the CPU pool, for one runner that need not wait for a device."""

    def __init__(self, pool: CpuPool, post: Post) -> None:
        super().__init__(pool, post)
        self._active = False

    def close(self, until: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._active, until - time.monotonic())
        for queue in self._share.queues:
            queue.loaded.close()

    def _wake(self) -> None:
        if not self._active:
            self._active = True
            self._pool.submit(self._step, first=True)

    def _close_soon(self, queue: RunnerQueue) -> None:
        self._pool.submit(queue.loaded.close, first=True)

    def _step(self) -> None:
        """One batch; then to the end of the line, so that no runner keeps a thread to itself."""
        try:
            with self._changed:
                work = None if self._closing else self._take()
                if work is None:
                    self._active = False
                    self._changed.notify_all()
                    return
            work()
        except BaseException as error:
            self._collapse(error)
        self._pool.submit(self._step, first=True)


class Lanes:
    """All lanes of one engine, made when a runner first needs them."""

    def __init__(self, pool: CpuPool, post: Post) -> None:
        self._pool = pool
        self._post = post
        self._devices: dict[str, DeviceLane] = {}
        self._all: list[Lane] = []

    def place(self, loaded: "LoadedRunner", sizes: BatchSizes) -> tuple[Lane, RunnerQueue]:
        """Give a loaded runner its queue and the lane that serves it."""
        queue = RunnerQueue(loaded, sizes, ahead=self._pool.size)
        lane = self._lane_for(loaded)
        lane.adopt(queue)
        return lane, queue

    def release(self, lane: Lane, queue: RunnerQueue) -> bool:
        """Give up a runner, which is closed where it ran; False while it is busy."""
        released = lane.release(queue)
        if released and not lane.is_shared:
            self._all.remove(lane)
        return released

    def close(self, until: float) -> None:
        for lane in self._all:
            lane.close(until)

    def _lane_for(self, loaded: "LoadedRunner") -> Lane:
        lane: Lane | None
        if loaded.make_lane is not None:
            lane = loaded.make_lane(self._pool, self._post)
        elif not loaded.runner.uses_device:
            lane = PoolLane(self._pool, self._post)
        elif (lane := self._devices.get(loaded.device)) is not None:
            return lane
        else:
            lane = self._devices[loaded.device] = DeviceLane(loaded.device, self._pool, self._post)
        self._all.append(lane)
        return lane
