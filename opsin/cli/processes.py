"""The parent of `opsin serve --workers N`: starts processes, restarts what dies, rolls, drains."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opsin.cli.child import Inherited
from opsin.cli.child_process import ChildProcess
from opsin.cli.event_loop import on_stop_signal
from opsin.cli.exit_codes import ExitCode
from opsin.settings import environment_with

log = logging.getLogger(__name__)

_STOP_SECONDS = 15.0
"""Beyond the time to drain: for what is in hand to be given back, and files to be closed."""
_POOLED = 24
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LONG_LIFE = 60.0
"""A process that has lived for so many seconds is started again at once."""


@dataclass(frozen=True, slots=True)
class Role:
    """One place among the processes: its name, its command and what it may listen on."""

    name: str
    title: str
    command: Sequence[str]
    listens: bool


class _NotStarted(Exception):
    """The first process has ended before it was ready, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class Family:
    """All processes of one `opsin serve`; `run` ends when they have."""

    def __init__(
        self,
        roles: Sequence[Role],
        listener: socket.socket,
        environment: Mapping[str, str],
        *,
        drain_seconds: float,
    ) -> None:
        self._roles = roles
        self._listener = listener
        self._environment = dict(environment)
        self._stop_seconds = drain_seconds + _STOP_SECONDS
        self._folder = Path()
        self._current: dict[str, ChildProcess] = {}
        self._alive: set[ChildProcess] = set()
        self._pauses: dict[str, float] = {}
        self._watching: set[asyncio.Task[None]] = set()
        self._roll = asyncio.Event()
        self._stop_number: int | None = None

    async def run(self, accepting: Callable[[], None]) -> int:
        """Until a signal ends it; gives the exit code.

        `accepting` is called when every process has been started.
        """
        with tempfile.TemporaryDirectory(prefix="opsin-") as folder:
            self._folder = Path(folder)
            work = asyncio.create_task(self._work(accepting))
            with on_stop_signal(lambda number: self._stop(number, work)), self._rolled_by_signal():
                try:
                    await work
                except _NotStarted as failure:
                    return failure.code
                except asyncio.CancelledError:
                    if self._stop_number is None:
                        raise
                finally:
                    await self._end()
        return 0

    async def _work(self, accepting: Callable[[], None]) -> None:
        # The first comes first: what keeps it from starting would keep all, and is told once.
        first, *others = self._roles
        child = await self._spawn(first)
        if not await child.is_ready():
            raise _NotStarted(await child.give_up(self._stop_seconds) or ExitCode.FAILED)
        self._adopt(first, child)
        started = [await self._spawn(role) for role in others]
        for role, one in zip(others, started, strict=True):
            self._adopt(role, one)
        await asyncio.gather(*(one.is_ready() for one in started))
        accepting()
        while True:
            await self._roll.wait()
            self._roll.clear()
            await self._replace_all()

    def _stop(self, number: int, work: "asyncio.Task[None]") -> None:
        if self._stop_number is None:
            self._stop_number = number
            work.cancel()
        else:  # once more: who waits for answers shall not
            for child in self._alive:
                child.tell(number)

    async def _end(self) -> None:
        for task in self._watching:
            task.cancel()
        self._listener.close()  # or who calls now would wait for the end to be refused
        number = self._stop_number or signal.SIGTERM
        alive = list(self._alive)
        await asyncio.gather(*(child.stop(number, self._stop_seconds) for child in alive))

    # --- each process ---------------------------------------------------------------------------

    async def _spawn(self, role: Role) -> ChildProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            listener = self._listener.fileno() if role.listens else None
            inherited = Inherited(role.name, self._folder, theirs.fileno(), listener)
            process = await asyncio.create_subprocess_exec(
                *role.command,
                "--inherited",
                inherited.as_option(),
                stdin=DEVNULL,
                env=self._environment,
                pass_fds=[fd for fd in (theirs.fileno(), listener) if fd is not None],
                start_new_session=True,  # Ctrl-C is for the parent, who tells them all
            )
        child = ChildProcess(process, ours)
        self._alive.add(child)
        child.ended.add_done_callback(lambda _task: self._alive.discard(child))
        return child

    def _adopt(self, role: Role, child: ChildProcess) -> None:
        """From now on this one has the place, and is started again when it ends."""
        self._current[role.name] = child
        task = asyncio.create_task(self._watch(role, child))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _watch(self, role: Role, child: ChildProcess) -> None:
        await asyncio.wait([child.ended])
        code = await child.close()
        if self._current[role.name] is not child:
            return  # it was replaced
        pause = self._pause(role, child)
        log.warning("%s, process %d, %s; it is started again", role.title, child.pid, _end_of(code))
        while True:
            await asyncio.sleep(pause)
            if self._current[role.name] is not child:
                return
            try:
                new = await self._spawn(role)
            except OSError as error:  # no memory, or no process more
                log.warning("%s cannot be started: %s", role.title, error.strerror)
                pause = _LONGEST_PAUSE
                continue
            if self._current[role.name] is child:
                self._adopt(role, new)
            else:  # a rolling restart has filled the place meanwhile
                await new.stop(signal.SIGTERM, self._stop_seconds)
            return

    def _pause(self, role: Role, child: ChildProcess) -> float:
        """Nothing after a long life; twice as long each time for what ends again and again."""
        pause = self._pauses.get(role.name, 0.0)
        if time.monotonic() - child.started >= _LONG_LIFE:
            pause = 0.0
        self._pauses[role.name] = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        return pause

    # --- rolling restart ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _rolled_by_signal(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._roll.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def _replace_all(self) -> None:
        """One place after the other; the first that cannot be filled anew ends it."""
        log.info("rolling restart of %d processes", len(self._roles))
        for role in self._roles:
            new = await self._spawn(role)
            if not await new.is_ready():
                code = await new.give_up(self._stop_seconds)
                log.error(
                    "the rolling restart is broken off: the new process of %s %s; "
                    "those that run go on",
                    role.title,
                    _end_of(code),
                )
                return
            old = self._current[role.name]
            self._adopt(role, new)
            await old.stop(signal.SIGTERM, self._stop_seconds)
            log.info("%s is process %d now, and no longer %d", role.title, new.pid, old.pid)
        log.info("the rolling restart is done")


def _end_of(code: int) -> str:
    """What became of a process, in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def roles_of(options: Sequence[str], servers: int, *, worker: bool) -> list[Role]:
    """The places of a family whose servers take these options of `opsin serve`."""
    safe = ["-P"] if sys.flags.safe_path else []
    opsin = [sys.executable, *safe, "-m", "opsin"]
    roles = [
        Role(str(number), f"server {number}", [*opsin, "serve", *options], listens=True)
        for number in range(1, servers + 1)
    ]
    if worker:
        data_dir = options[options.index("--data-dir") : options.index("--data-dir") + 2]
        roles.append(Role("worker", "the worker", [*opsin, "worker", *data_dir], listens=False))
    return roles


def environment_of_children(servers: int, *, pool: int | None) -> dict[str, str]:
    """That of this process, with its share of the database's connections for each child.

    A PostgreSQL takes 100 unless it is told otherwise; each process keeps up to three times as
    many as the setting says, while it is busy.
    """
    share = max(2, _POOLED // (servers + 1)) if pool is None else pool
    return environment_with(database_pool=str(share))
