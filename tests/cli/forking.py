"""Commands in processes that have imported `opsin` already: forked, and otherwise on their own.

To import what a command needs takes one to three seconds of the processor, and running it a tenth.
"""

import io
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsin.assembly import BUILTIN_PLUGINS

INPUT, OUTPUT, COMPLAINTS = "stdin", "stdout", "stderr"
"""The files in a command's folder that are its standard streams."""
_IMPORTED = (
    "opsin.app",
    "opsin.cli.main",
    *(source.module for source in BUILTIN_PLUGINS),
    __name__,
)
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(_IMPORTED))


def run(
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    folder: Path,
    longest: float,
) -> int:
    """Run a command to its end and give its code, a signal's below zero.

    Raises TimeoutError for one that took longer than `longest` seconds, and was killed.
    """
    given = (list(arguments), str(cwd), dict(environment), str(folder))
    process = _server.Process(target=_command, args=given)
    process.start()
    process.join(longest)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        raise TimeoutError(f"opsin {' '.join(arguments)} took longer than {longest} s")
    process.close()
    return code


def _command(
    arguments: list[str], cwd: str, environment: dict[str, str], folder: str
) -> None:  # pragma: no cover - in a process of its own
    from opsin.cli import main

    _redirect(Path(folder))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = ["opsin", *arguments]
    main()


def _redirect(folder: Path) -> None:
    """The standard streams, for this process and for those that it starts."""
    for number, name in enumerate((INPUT, OUTPUT, COMPLAINTS)):
        with (folder / name).open("rb" if number == 0 else "wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdin = io.TextIOWrapper(_raw(0, "rb"), "utf-8")
    sys.stdout = io.TextIOWrapper(_raw(1, "wb"), "utf-8")
    sys.stderr = io.TextIOWrapper(_raw(2, "wb"), "utf-8", "backslashreplace", line_buffering=True)


def _raw(number: int, mode: str) -> Any:
    return open(number, mode, closefd=False)
