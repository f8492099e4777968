"""The HTTP server under `opsin serve`: uvicorn on a socket of ours, drained by our signals."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from opsin.cli.connections import Acceptor, HttpConnection, SocketConnection
from opsin.cli.event_loop import on_stop_signal

log = logging.getLogger(__name__)

_QUICK_SECONDS = 5
"""For answers that are under way, after Ctrl-C."""
_LOOK_SECONDS = 0.05
_LARGEST_MESSAGE = 2**20
"""Bytes of one message on a WebSocket."""
_CANCEL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Serving:
    """How long a server has patience, in seconds, and whose word it takes for who calls."""

    drain_seconds: float = 20
    keep_alive_seconds: float = 5
    body_seconds: float = 30
    trusted_proxies: Sequence[str] = ()


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """uvicorn logs what it cancelled after the grace as if the application had failed."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _without_queries(record: logging.LogRecord) -> bool:
    """A query may hold a token, or the signature of a link, by which a reader could call."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            one.partition("?")[0] if isinstance(one, str) else one for one in record.args
        )
    return True


class _Server(uvicorn.Server):
    """Tells when it accepts connections, and lets all that is under way end before it does."""

    def __init__(
        self,
        config: uvicorn.Config,
        serving: Serving,
        listener: socket.socket,
        accepting: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._serving = serving
        self._accepting = accepting
        self._ending = ending
        self._is_quick = False
        self._acceptor = Acceptor(listener, self._connection)

    def _connection(self) -> asyncio.Protocol:
        return HttpConnection(
            self.config, self.server_state, self.lifespan.state, self._serving.body_seconds
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = []
        self.started = True
        if not self.should_exit:
            self._acceptor.start()
            self._accepting()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # The original raises the signal once more in the end, which would end the process by it.
        yield

    def stop(self, number: int) -> None:
        """Drain at SIGTERM, end soon at Ctrl-C; a second signal waits for nobody."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._is_quick = self._is_quick or number == signal.SIGINT

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let those there are end as their clients expect it."""
        self._acceptor.stop()
        connections = self.server_state.connections
        log.info("draining: %d connections are open", len(connections))
        self._ending()
        seconds = _QUICK_SECONDS if self._is_quick else self._serving.drain_seconds
        until = asyncio.get_running_loop().time() + seconds
        seen: set[object] = set()
        while self._is_busy and not self.force_exit:
            if asyncio.get_running_loop().time() >= until:
                log.warning(
                    "%d answers were not at their end in time", len(self.server_state.tasks)
                )
                break
            for one in connections - seen:
                seen.add(one)
                self._let_go(one)
            for one in [one for one in connections if isinstance(one, SocketConnection)]:
                if not one.ends_itself:
                    one.shutdown()
            await asyncio.sleep(_LOOK_SECONDS)
        await self._cut()

    @property
    def _is_busy(self) -> bool:
        state = self.server_state
        return bool(state.connections or state.tasks or self._acceptor.is_connecting)

    def _let_go(self, connection: object) -> None:
        if isinstance(connection, HttpConnection):
            if self._is_quick:
                connection.shutdown()
            else:
                connection.drain()

    async def _cut(self) -> None:
        """End whatever is left, which nobody waits for any longer."""
        for connection in list(self.server_state.connections):
            connection.shutdown()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)


async def serve_app(
    app: Starlette,
    listener: socket.socket,
    accepting: Callable[[], None],
    serving: Serving | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; calls `accepting` once connections are taken.

    The application's lifespan is run here and not by uvicorn, which would turn an error of it into
    a logged traceback.
    """
    serving = serving or Serving()
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nobody's word is taken for who calls but that of proxies that the operator names.
        proxy_headers=bool(serving.trusted_proxies),
        forwarded_allow_ips=list(serving.trusted_proxies),
        ws=SocketConnection,
        # Frames are gathered before anybody has said who they are; what is larger goes by POST.
        ws_max_size=_LARGEST_MESSAGE,
        # Compressing each small message for each subscriber costs more than it saves.
        ws_per_message_deflate=False,
        timeout_keep_alive=serving.keep_alive_seconds,  # type: ignore[arg-type]  # any number is
    )
    errors = logging.getLogger("uvicorn.error")
    errors.addFilter(_without_queries)
    errors.addFilter(_is_no_cancellation)
    # At debug it writes every header and frame of sockets, with the tokens in them.
    errors.setLevel(max(errors.getEffectiveLevel(), logging.INFO))

    server = _Server(config, serving, listener, accepting, app.state.end_streams)

    def stop(number: int) -> None:
        app.state.is_draining = True
        server.stop(number)

    with on_stop_signal(stop):
        async with app.router.lifespan_context(app):
            await server.serve()
