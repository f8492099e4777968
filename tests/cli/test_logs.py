"""Log lines: `key=value` or JSON, with the request and the trace that they are of."""

import json
import logging
import sys
from pathlib import Path

import httpx
import pytest

from opsin.cli.logs import LineFormatter
from opsin.core.request_context import request_id
from tests.cli.command import serving


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("opsin.part", logging.WARNING, "file.py", 1, message, (), None)
    vars(made).update(extra)
    return made


def test_a_line_names_the_request_that_it_is_of() -> None:
    form = LineFormatter(tracebacks=False, own_lines=False)
    token = request_id.set("r-1")
    try:
        line = form.format(record("it went wrong", status=500))
    finally:
        request_id.reset(token)
    assert line.endswith('message="it went wrong" status=500 request_id=r-1')
    assert "request_id" not in form.format(record("later"))


@pytest.mark.parametrize("text", ['a "quoted" one', "two\nlines", "back\\slash", "ümlaut = 1", ""])
def test_json_lines_hold_what_was_said(text: str) -> None:
    form = LineFormatter(tracebacks=True, own_lines=False, is_json=True)
    line = form.format(record(text, path=Path("/x"), number=3))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["message"], told["level"], told["logger"]) == (text, "warning", "opsin.part")
    assert (told["path"], told["number"]) == ("/x", 3)


def test_json_lines_hold_tracebacks_too() -> None:
    form = LineFormatter(tracebacks=True, own_lines=True, is_json=True)
    made = record("bad")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    told = json.loads(form.format(made))
    assert told["error"] == "ValueError" and "why" in told["traceback"]


def test_a_server_writes_json_where_it_is_asked_to(tmp_path: Path) -> None:
    settings = {"log_format": "json"}
    with serving("--no-worker", cwd=tmp_path, settings=settings) as (server, url):
        answer = httpx.get(f"{url}/nowhere?token=canary", trust_env=False)
        server.wait_for('"path": "/nowhere"')
        assert server.stop() == 0
    told = [json.loads(line) for line in server.err.splitlines()]
    (line,) = [one for one in told if one.get("path") == "/nowhere"]
    assert (line["status"], line["route"]) == (404, "other")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "canary" not in server.err
