"""`opsin serve`: the server, until a signal stops it."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from opsin.cli import event_loop
from opsin.cli.child import Inherited, ParentLine
from opsin.cli.options import DataDir, InheritedOption, make_data_dir, read_settings
from opsin.cli.output import print_line
from opsin.core.errors import ConfigurationError, reason_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

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
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            metavar="NUMBER",
            help="So many server processes, and one for queued analyses, under a parent.",
            show_default="OPSIN_WORKERS, or all in one process",
        ),
    ] = None,
    inherited: InheritedOption = None,
) -> None:
    """Serve GraphQL and the REST APIs on one port, until Ctrl-C or SIGTERM."""
    settings = read_settings(
        server=True,
        host=host,
        port=port,
        data_dir=data_dir,
        auth=auth,
        worker=worker,
        workers=workers,
    )
    settings.check_exposure()
    if inherited is not None:
        _serve_as_child(settings, Inherited.of_option(inherited))
        return
    make_data_dir(settings)
    listener = listen(settings.host, settings.port)
    url = url_of(settings.host, listener)
    with listener:
        if settings.workers is None:
            serve_on(listener, settings, lambda: _announce(url))
        else:
            _serve_processes(listener, settings, settings.workers, lambda: _announce(url))


def serve_on(listener: socket.socket, settings: "Settings", accepting: Callable[[], None]) -> None:
    """Serve until a signal; calls `accepting`, on the event loop, once connections are taken."""
    from opsin.app import create_app

    _run(create_app(settings), listener, settings, accepting)


def _run(
    app: "Starlette", listener: socket.socket, settings: "Settings", accepting: Callable[[], None]
) -> None:
    from opsin.cli.http_server import Serving, serve_app

    event_loop.spare_collector()
    event_loop.keep_freed_memory()
    serving = Serving(
        settings.drain_seconds,
        settings.keep_alive_seconds,
        settings.body_seconds,
        settings.trusted_proxies,
    )
    event_loop.run(serve_app(app, listener, accepting, serving))


def _serve_processes(
    listener: socket.socket, settings: "Settings", servers: int, accepting: Callable[[], None]
) -> None:
    from opsin.cli.processes import Family, environment_of_children, roles_of

    given = "database_pool" in settings.model_fields_set
    pool = settings.database_pool if given else None
    options = [
        *("--host", settings.host, "--port", str(settings.port), "--auth", settings.auth),
        *("--data-dir", str(settings.data_dir), "--no-worker"),
    ]
    family = Family(
        roles_of(options, servers, worker=settings.worker),
        listener,
        environment_of_children(servers, pool=pool),
        drain_seconds=settings.drain_seconds,
    )
    if code := event_loop.run(family.run(accepting)):
        raise typer.Exit(code)


def _serve_as_child(settings: "Settings", inherited: Inherited) -> None:
    """One process of several: the parent's socket, and its word for when to end."""
    from opsin.app import create_app
    from opsin.web.siblings import Siblings

    line = ParentLine(inherited)
    with inherited.listening() as listener:
        app = create_app(settings, siblings=Siblings(inherited.folder, inherited.name))
        _run(app, listener, settings, lambda: line.ready(app.state.is_warm))


def _announce(url: str) -> None:
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
        # Connections inherit it: an answer is written in one piece, and waits for nothing more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
