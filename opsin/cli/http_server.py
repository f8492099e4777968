"""The HTTP server under `opsin serve`: uvicorn on a socket of ours, stopped by our signals."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator, Sequence

import uvicorn
from starlette.applications import Starlette

from opsin.cli.event_loop import on_stop_signal

_GRACE_SECONDS = 5
"""For requests that are being answered; subscriptions are ended at once."""


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
    """Tells when it accepts connections and when it ends, and leaves the signals to `serve_app`."""

    def __init__(
        self, config: uvicorn.Config, accepting: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._accepting = accepting
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._accepting()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # The original raises the signal once more in the end, which would end the process by it.
        yield

    def stop(self, number: int) -> None:
        """Let requests end; a second Ctrl-C does not wait for them."""
        self._ending()
        self.handle_exit(signal.Signals(number), None)


async def serve_app(
    app: Starlette,
    listener: socket.socket,
    accepting: Callable[[], None],
    *,
    access_log: bool,
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM; calls `accepting` once connections are taken.

    The application's lifespan is run here and not by uvicorn, which would turn an error of it into
    a logged traceback.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=access_log,
        server_header=False,
        # Nobody's word is taken for who calls but that of proxies that the operator names.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        # Compressing each small message for each subscriber costs more than it saves.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(_without_queries)
    errors = logging.getLogger("uvicorn.error")
    errors.addFilter(_is_no_cancellation)
    # At debug it writes every header and frame of sockets, with the tokens in them.
    errors.setLevel(max(errors.getEffectiveLevel(), logging.INFO))
    server = _Server(config, accepting, app.state.end_streams)
    with on_stop_signal(server.stop):
        async with app.router.lifespan_context(app):
            await server.serve([listener])
