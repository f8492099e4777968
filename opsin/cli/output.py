"""Where output goes: results to stdout, everything said on the way to stderr."""

import shutil
import sys
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 120


@cache
def messages() -> "Console":
    """The console for messages and progress."""
    return _console(stderr=True)


@cache
def results() -> "Console":
    """The console for what the command was asked for."""
    return _console(stderr=False)


def say(text: str) -> None:
    """A message for a person, on a line of its own."""
    messages().print(text, markup=False, highlight=False, soft_wrap=True)


def print_line(text: str) -> None:
    """A result that a script may read, on a line of its own, at once."""
    print(text, flush=True)


def print_json(document: Any) -> None:
    """The one JSON document of a command with --json."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    sys.stdout.buffer.write(orjson.dumps(document, default=str, option=options))
    sys.stdout.buffer.flush()


def new_table(*columns: str, **options: Any) -> "Table":
    """A table in the one look that all commands share."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", **options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def size_text(size_bytes: int | None) -> str:
    """A size for people, in decimal units as download pages give it."""
    if size_bytes is None:
        return "?"
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def minute_text(moment: datetime | None) -> str:
    """A time for people, to the minute; empty when there is none."""
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def _console(*, stderr: bool) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal:
        # A file has no width; rich would wrap at 80 columns.
        console.width = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 40)).columns
    return console
