"""The logs of a process: one line a record on stderr, of `key=value` or of JSON."""

import json
import logging
import re
import sys
import time
from functools import lru_cache
from typing import TextIO

from opsin.core import tracing
from opsin.core.request_context import request_id

_OURS = ("opsin", "uvicorn")
_PLAIN = re.compile(r"""[^ "=\\\x00-\x1f\x7f-\x9f\u2028\u2029]+""")
_NUMBERS = frozenset({int, float})
_MADE = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_MADE) | {"message", "asctime", "color_message"}


class LineFormatter(logging.Formatter):
    """`time=... level=... logger=... message=...`, then the fields given as `extra`.

    Last come the request that it was written for, and its trace where there is one.  A traceback
    is one more field, or lines of their own below where a person reads along.
    """

    def __init__(self, *, tracebacks: bool, own_lines: bool, is_json: bool = False) -> None:
        super().__init__()
        self.tracebacks = tracebacks
        self.is_json = is_json
        self._own_lines = own_lines

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": f"{_clock(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        given = vars(record)
        if len(given) > len(_MADE):  # somebody gave more than every record has
            fields |= {key: value for key, value in given.items() if key not in _STANDARD}
        if (identity := request_id.get()) is not None:
            fields["request_id"] = identity
        if tracing.tracer is not None and (place := tracing.place()) is not None:
            fields["trace_id"] = place.split("-")[1]
        below = ""
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
            if self.tracebacks and self._own_lines and not self.is_json:
                below = "\n" + self.formatException(record.exc_info)
            elif self.tracebacks:
                fields["traceback"] = self.formatException(record.exc_info)
        if self.is_json:
            return json.dumps(fields, ensure_ascii=False, default=str)
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
    # No line says which thread or process it is of: then nobody need find out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = _StderrHandler()
    handler.setFormatter(LineFormatter(tracebacks=debug, own_lines=sys.stderr.isatty()))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def set_level(level: str) -> None:
    """Log our own records from this level on; those of libraries stay at warnings."""
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def set_format(name: str) -> None:
    """`text` or `json`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.formatter.is_json = name == "json"


def show_tracebacks() -> None:
    """For a server: nobody can run again what failed there."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.formatter.tracebacks = True


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    """Lines come many a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _quoted(value: object) -> str:
    text = str(value)
    if value.__class__ in _NUMBERS or _PLAIN.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
