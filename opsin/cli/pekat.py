"""`opsin pekat`: what lets PEKAT's clients start this server by themselves."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from opsin.cli.output import print_line, say
from opsin.core.errors import ConfigurationError, reason_of

app = typer.Typer(no_args_is_help=True, help="For clients of PEKAT VISION that start the server.")

# Where every client looks for it below the folder of an installation.
PROGRAM = Path("pekat_vision", "pekat_vision")


@app.command("install")
def install(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that clients get as `dist_path`.")
    ],
) -> None:
    """Write the program that PEKAT's clients start, which starts this Opsin."""
    program = folder / PROGRAM
    if program.exists() and not _is_ours(program):
        raise ConfigurationError(f"{program} is there already, and is another program")
    python = shlex.quote(sys.executable)
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {python} -m {_MODULE} "$@"\n', "utf-8")
        program.chmod(0o755)
    except OSError as error:
        raise ConfigurationError(f"{program} cannot be written: {reason_of(error)}") from None
    print_line(os.fspath(program))
    say(f"Clients find it with dist_path={str(folder)!r}")


_MODULE = "opsin.cli.pekat_launcher"


def _is_ours(program: Path) -> bool:
    try:
        return _MODULE in program.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
