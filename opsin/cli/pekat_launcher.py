"""The program that PEKAT's clients start: their options, and the lines they wait for."""

import argparse
import asyncio
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsin.cli import logs, serve
from opsin.cli.exit_codes import exit_code_of
from opsin.cli.options import make_data_dir, read_settings
from opsin.core.errors import ConfigurationError, OpsinError

if TYPE_CHECKING:
    from opsin.settings import Settings

RUNNING = "__SERVER_RUNNING__"
MODELS_LOADED = "STOP_INIT_MODEL"
PORT_TAKEN = "OSError: [Errno 48] Address already in use"
"""What clients look for on every system, though the number is that of macOS."""

FLOW_FILE = "opsin_flow.json"
DATA_FOLDER = "opsin-data"
LOG_FILE = "opsin.log"
_LOAD_SECONDS = 600.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the project of the arguments until it is stopped; ends the process."""
    logs.configure(debug=False)
    try:
        _serve(_options(sys.argv[1:] if arguments is None else arguments))
    except OpsinError as error:
        if _is_port_taken(error):
            print(PORT_TAKEN, flush=True)
        print(f"opsin: {error.message}", file=sys.stderr, flush=True)
        sys.exit(exit_code_of(error))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pekat_vision", allow_abbrev=False)
    parser.add_argument("-data", type=Path, required=True, help="folder of the project")
    parser.add_argument("-port", type=int, required=True)
    parser.add_argument("-host", default="127.0.0.1")
    parser.add_argument("-stop_key", help="what `/stop` must be called with")
    parser.add_argument("-api_key", help="what requests must have")
    parser.add_argument("-gpu", type=int, help="number of the CUDA device")
    # There is neither code in a flow nor a tutorial; clients send these all the same.
    parser.add_argument("-disable_code", help="without meaning here")
    parser.add_argument("-tutorial_only", help="without meaning here")
    parser.add_argument("-password", help="refused: see OPSIN_AUTH")
    return parser.parse_args(arguments)


def _serve(options: argparse.Namespace) -> None:
    if options.password:
        raise ConfigurationError(
            "-password protects no page here: set OPSIN_AUTH=keys, which protects all of them"
        )
    settings = _settings(options)
    settings.check_exposure()
    make_data_dir(settings)
    listener = serve.listen(settings.host, settings.port)
    tasks: set[asyncio.Task[None]] = set()

    def accepting() -> None:
        print(RUNNING, flush=True)
        told = _leave_output(settings.data_dir / LOG_FILE)
        url = serve.url_of(settings.host, listener)
        tasks.add(asyncio.create_task(_tell_when_loaded(url, settings.pekat_api_key, told)))

    with listener:
        serve.serve_on(listener, settings, accepting)


def _settings(options: argparse.Namespace) -> "Settings":
    """The settings of the environment, under the options and what lies in the project."""
    settings = read_settings(
        server=True,
        host=options.host,
        port=options.port,
        pekat_api_key=options.api_key,
        pekat_stop_key=options.stop_key,
        pekat_shared_memory=True,  # whoever starts a program shares its machine
        device=None if options.gpu is None else f"cuda:{options.gpu}",
    )
    changes: dict[str, object] = {}
    if "data_dir" not in settings.model_fields_set:
        changes["data_dir"] = options.data / DATA_FOLDER
    flow = options.data / FLOW_FILE
    if settings.pekat_flow is None and flow.is_file():
        changes["pekat_flow"] = str(flow)
    return settings.model_copy(update=changes)


def _leave_output(log: Path) -> int:
    """Write to a file from here on, and give back where the client still listens.

    A client that has read its line reads no more: a full pipe would stop the server.
    """
    kept = os.dup(1)
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)
    return kept


async def _tell_when_loaded(url: str, api_key: str | None, told: int) -> None:
    """Some clients wait until the models of the flow are in memory."""
    import httpx

    line = MODELS_LOADED
    headers = {} if api_key is None else {"X-Api-Key": api_key}
    try:
        async with httpx.AsyncClient(timeout=_LOAD_SECONDS, trust_env=False) as client:
            answer = await client.get(f"{url}/ping?init_model", headers=headers)
        if answer.is_error:
            line = f"models: {answer.json()['message']}\n{line}"
    except httpx.HTTPError as error:
        line = f"models: {type(error).__name__}\n{line}"
    try:
        os.write(told, f"{line}\n".encode())
    except BrokenPipeError:
        pass  # the client has ended
    finally:
        os.close(told)


def _is_port_taken(error: OpsinError) -> bool:
    cause = error.__context__
    return isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE


if __name__ == "__main__":
    main()
