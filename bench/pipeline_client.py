"""10,000 findings through opsin.client beside plain httpx posts, and how long its import takes."""

import hashlib
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.pictures import portrait
from bench.server import new_image, running_server
from opsin.client import Client

FINDINGS = 10_000
CHUNK = 1000
RUNS = 9
IMPORTS = 15
SECRET = "a secret of the bench"


def findings() -> list[dict[str, Any]]:
    return [
        {
            "annotation_type": "bounding_box",
            "class_name": f"class {number % 80}",
            "confidence": (number % 1000) / 1000,
            "data": {"bbox": [number % 500, number % 400, 30.5, 40.25], "format": "xywh"},
        }
        for number in range(FINDINGS)
    ]


def post_plainly(
    client: httpx.Client, analysis_id: str, found: list[dict[str, Any]], **headers: str
) -> None:
    """What a pipeline without our client does: no retries, no checks but the status."""
    for start in range(0, len(found), CHUNK):
        body = json.dumps({"annotations": found[start : start + CHUNK]}).encode()
        sent_at = str(int(time.time()))
        message = f"{sent_at}.".encode() + body
        digest = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
        signed = {"X-ML-Signature": f"sha256={digest}", "X-ML-Timestamp": sent_at}
        answer = client.post(
            f"/api/analyses/{analysis_id}/annotations:bulk",
            content=body,
            headers={"Content-Type": "application/json"} | signed | headers,
        )
        answer.raise_for_status()
        answer.json()


def sending() -> dict[str, float]:
    """Medians in seconds, the ways in turn within each round."""
    seconds: dict[str, list[float]] = {}
    settings = {"vista_hmac_secret": SECRET, "vista_max_analyses_per_image": "1000"}
    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder,
        running_server(Path(folder), **settings) as http,
        Client(str(http.base_url), secret=SECRET) as client,
    ):
        image, found = new_image(http, portrait()), findings()
        little = {"Prefer": "return=minimal"}
        ways: dict[str, Callable[[str], object]] = {
            "opsin.client": lambda identity: client.add_annotations(identity, found),
            "httpx": lambda identity: post_plainly(http, identity, found),
            "httpx, small answers": lambda identity: post_plainly(http, identity, found, **little),
        }
        for run in range(RUNS + 1):
            for name, send in ways.items():
                made = client.create_analysis(image, model="yolo_v8", version=f"{name} {run}")
                started = time.perf_counter()
                send(made.id)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
                if client.count_annotations(made.id) != FINDINGS:
                    raise AssertionError(f"{name}: not all are there")
    return {name: round(statistics.median(took[1:]), 4) for name, took in seconds.items()}


def imports() -> dict[str, float]:
    """Medians in seconds of a process that imports this and ends."""
    programs = {"nothing": "pass", "httpx": "import httpx", "opsin.client": "import opsin.client"}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(IMPORTS + 1):
        for name, program in programs.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds[name].append(time.perf_counter() - started)
    return {name: round(statistics.median(took[1:]), 3) for name, took in seconds.items()}


def main() -> dict[str, Any]:
    sent = sending()
    result = {
        "findings": FINDINGS,
        "seconds": sent,
        "of plain httpx": round(sent["opsin.client"] / sent["httpx"], 2),
        "of httpx with small answers": round(
            sent["opsin.client"] / sent["httpx, small answers"], 2
        ),
        "import_seconds": imports(),
        "load": os.getloadavg()[0],
    }
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main()
