"""Schemathesis against a server with every API: no server error, and nothing it does not say.

It sends what the OpenAPI document allows and what it forbids, with ids of nothing and with ids of
things, and checks status, content type and body of each answer against the document.

Most of what it sends are the values at the edges of each parameter, which are always the same; of
what it makes up it sends little here.  The long form, some minutes:
`OPENAPI_EXAMPLES=100 python -m pytest tests/compat/test_openapi_fuzz.py`.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import pytest

from tests.compat.world import World

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
EXAMPLES = os.environ.get("OPENAPI_EXAMPLES", "3")
"""How many requests are made up for each method of each path."""
HOOKS, ROOT = "tests.compat.schemathesis_hooks", Path(__file__).parents[2]
PATH_NAMES = {"id": "image_id"}
"""Parameters that are called otherwise than what they name."""


async def fuzz(everything: World, folder: Path, phases: str, *options: str) -> str:
    """What Schemathesis reports; the test fails with it unless all is well."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{everything.live.url}/openapi.json"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", phases),
        *("--max-examples", EXAMPLES, "--generation-deterministic", "--seed", "1"),
        *("--request-timeout", "60", "--warnings", "off", "--no-color"),
        *options,
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    report = output.decode(errors="replace")
    assert process.returncode == 0, report[-20_000:]
    return report


def count(everything: World, report: str) -> int:
    """How many requests it says it made of."""
    [line] = [line for line in report.splitlines() if " generated, " in line]
    return int(line.split()[0])


async def test_with_ids_of_nothing(
    everything: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "schemathesis.toml").write_text("", "utf-8")
    report = await fuzz(everything, tmp_path, "examples,coverage,fuzzing")
    assert count(everything, report) > 500
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_with_ids_of_things(
    everything: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All that does not delete them."""
    names = {name: value for name, value in everything.names.items() if name != "key_id"}
    given = names | {other: names[name] for other, name in PATH_NAMES.items()}
    lines = [f'"path.{name}" = {json.dumps(value)}' for name, value in given.items()]
    text = "\n".join(["[parameters]", *lines, ""])
    (tmp_path / "schemathesis.toml").write_text(text, "utf-8")
    phases = "examples,coverage,fuzzing"
    report = await fuzz(everything, tmp_path, phases, "--exclude-method", "DELETE")
    assert count(everything, report) > 500
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    # Only what was signed can have got so far.
    path = f"/api/analyses/{everything.names['analysis_id']}"
    assert (await everything.live.client.get(path)).json()["status"] in ("completed", "failed")
