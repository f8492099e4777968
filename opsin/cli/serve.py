"""`opsin serve`: the server, until a signal stops it."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, make_data_dir, read_settings
from opsin.cli.output import print_line
from opsin.core.errors import ConfigurationError, reason_of

if TYPE_CHECKING:
    from opsin.settings import Settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on.",
            show_default="OPSIN_HOST, or 127.0.0.1",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0 takes a free one.",
            show_default="OPSIN_PORT, or 8000",
        ),
    ] = None,
    data_dir: DataDir = None,
    auth: Annotated[
        Literal["dev", "keys"] | None,
        typer.Option(
            help="Let everyone in (loopback only), or ask for API keys.",
            show_default="OPSIN_AUTH, or dev",
        ),
    ] = None,
    worker: Annotated[
        bool | None,
        typer.Option(
            "--worker/--no-worker",
            help="Run queued analyses in the server, or leave them to `opsin worker`.",
            show_default="OPSIN_WORKER, or worker",
        ),
    ] = None,
) -> None:
    """Serve GraphQL and the REST APIs on one port, until Ctrl-C or SIGTERM."""
    settings = read_settings(
        server=True, host=host, port=port, data_dir=data_dir, auth=auth, worker=worker
    )
    settings.check_exposure()
    make_data_dir(settings)
    listener = listen(settings.host, settings.port)
    try:
        serve_on(listener, settings, lambda: _announce(settings, listener))
    finally:
        listener.close()


def serve_on(listener: socket.socket, settings: "Settings", accepting: Callable[[], None]) -> None:
    """Serve until a signal; calls `accepting`, on the event loop, once connections are taken."""
    from opsin.app import create_app
    from opsin.cli.http_server import serve_app

    app = create_app(settings)
    event_loop.spare_collector()
    event_loop.keep_freed_memory()
    serving = serve_app(
        app,
        listener,
        accepting,
        access_log=settings.log_level == "debug",
        trusted_proxies=settings.trusted_proxies,
    )
    event_loop.run(serving)


def _announce(settings: "Settings", listener: socket.socket) -> None:
    url = url_of(settings.host, listener)
    print_line(f"Viewer    {url}/")
    print_line(f"GraphQL   {url}/graphql")
    print_line(f"Health    {url}/health")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, IPv4 first; not yet listening."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise ConfigurationError(f"OPSIN_HOST: there is no address {host!r} here") from None
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {reason_of(error)}; --port 0 takes a free one"
        ) from None
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """The address to type on this machine."""
    host, port = _ANY_ADDRESS.get(host, host), listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
