"""The logs of a process: one `key=value` line a record, on stderr."""

import json
import logging
import sys
import time
from typing import TextIO

_OURS = ("opsin", "uvicorn")
_NEEDS_QUOTES = frozenset(' "=\n\r\t\\')
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class LineFormatter(logging.Formatter):
    """`time=... level=... logger=... message=...`, then the fields given as `extra`.

    A traceback is one more field, or lines of their own below where a person reads along.
    """

    def __init__(self, *, tracebacks: bool, own_lines: bool) -> None:
        super().__init__()
        self.tracebacks = tracebacks
        self._own_lines = own_lines

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "time": f"{clock}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        below = ""
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
            if self.tracebacks and self._own_lines:
                below = "\n" + self.formatException(record.exc_info)
            elif self.tracebacks:
                fields["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quoted(value)}" for key, value in fields.items()) + below


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is now: rich puts itself there while it shows progress."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _value: TextIO) -> None:
        """Only the base class's constructor sets it."""


def configure(*, debug: bool) -> None:
    """Log warnings; tracebacks only with `debug`."""
    handler = _StderrHandler()
    handler.setFormatter(LineFormatter(tracebacks=debug, own_lines=sys.stderr.isatty()))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def set_level(level: str) -> None:
    """Log our own records from this level on; those of libraries stay at warnings."""
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def show_tracebacks() -> None:
    """For a server: nobody can run again what failed there."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.formatter.tracebacks = True


def _quoted(value: object) -> str:
    text = str(value)
    if text and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return json.dumps(text, ensure_ascii=False)
