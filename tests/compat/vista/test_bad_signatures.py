"""Signatures over the wire: callbacks on every prefix, in both dialects, signed wrongly.

Which signatures hold to the second is told in test_signatures.py, with a clock of its own.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.compat.vista.conftest import Vista
from tests.compat.vista.pipelines import OLD_SECRET, SECRET, hex_digest

pytestmark = pytest.mark.asyncio(loop_scope="module")

ABSENT = "00000000-0000-7000-8000-000000000000"
PREFIXES = pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
DIALECTS = pytest.mark.parametrize("dialect", ["documented", "timestamped"])
Headers = dict[str, str]

BOX = {"annotation_type": "bounding_box", "class_name": "Größe 鯨 🐋", "data": {"x": 1.50}}
CALLBACKS: dict[str, tuple[str, Any]] = {
    "status": ("PATCH", {"status": "processing"}),
    "artifacts/presign": ("POST", {"artifact_type": "heatmap"}),
    "annotations:bulk": ("POST", {"annotations": [BOX]}),
    "finalize": ("POST", {"status": "completed"}),
}


def signed(
    dialect: str, body: bytes, *, secret: str = SECRET, off: float = 0, stamp: str | None = None
) -> Headers:
    """Headers over the body as it is, by a clock that is `off` seconds wrong."""
    stamp = stamp or str(int(time.time() + off))
    if dialect == "documented":
        signature = hex_digest(body, secret)
    else:
        signature = f"sha256={hex_digest(stamp.encode() + b'.' + body, secret)}"
    return {"X-ML-Signature": signature, "X-ML-Timestamp": stamp}


def changed(headers: Headers, change: Callable[[str], str]) -> Headers:
    return headers | {"X-ML-Signature": change(headers["X-ML-Signature"])}


def other_prefix(signature: str) -> str:
    """With the prefix where there must be none, without it where it must be."""
    return signature.removeprefix("sha256=") if "=" in signature else f"sha256={signature}"


def upper(signature: str) -> str:
    mark, is_marked, digest = signature.rpartition("sha256=")
    return f"{mark}{is_marked}{digest.upper()}"


def bad_ones(dialect: str, body: bytes) -> dict[str, Headers]:
    good = signed(dialect, body)
    return {
        "no signature": {"X-ML-Timestamp": good["X-ML-Timestamp"]},
        "no timestamp": {"X-ML-Signature": good["X-ML-Signature"]},
        "empty": changed(good, lambda _: ""),
        "wrong secret": signed(dialect, body, secret="another secret"),
        "another body": signed(dialect, body + b" "),
        "too old": signed(dialect, body, off=-400),
        "too new": signed(dialect, body, off=400),
        "in milliseconds": signed(dialect, body, stamp=str(int(time.time() * 1000))),
        "a fraction": signed(dialect, body, stamp=f"{time.time():.1f}"),
        "upper-case": changed(good, upper),
        "the other prefix": changed(good, other_prefix),
        "cut short": changed(good, lambda text: text[:-1]),
        "not ASCII": changed(good, lambda text: text[:-1] + "\u00e9"),
    }


async def send(
    vista: Vista, prefix: str, name: str, identity: str, body: bytes, headers: Headers
) -> httpx.Response:
    user = vista.user if prefix != "/api" else {}
    latin = [(k.encode(), v.encode("latin-1")) for k, v in (headers | user).items()]
    url = f"{prefix}/analyses/{identity}/{name}"
    return await vista.client.request(CALLBACKS[name][0], url, content=body, headers=latin)


async def seen(vista: Vista, identity: str) -> tuple[str, int]:
    found = (await vista.client.get(f"/api/analyses/{identity}", headers=vista.user)).json()
    return found["status"], len(found["annotations"])


@PREFIXES
@DIALECTS
@pytest.mark.parametrize("name", CALLBACKS)
async def test_what_is_signed_wrongly_learns_and_does_nothing(
    vista: Vista, dialect: str, prefix: str, name: str
) -> None:
    identity = await vista.analysis()
    body = json.dumps(CALLBACKS[name][1]).encode()
    for kind, headers in bad_ones(dialect, body).items():
        for target in (identity, ABSENT, "no-id"):
            answer = await send(vista, prefix, name, target, body, headers)
            if (name, prefix, kind) == ("status", "/api-key", "no signature"):
                break  # a user may change a status without one, and has
            assert answer.status_code == 401, (kind, answer.text)
            if prefix == "/api-ml":
                assert answer.json() == {"detail": "Invalid or missing HMAC signature."}
            elif kind != "no signature" or name != "status":
                assert answer.json() == {"detail": "Invalid HMAC signature"}
    is_changed = (name, prefix) == ("status", "/api-key")
    assert await seen(vista, identity) == ("processing" if is_changed else "queued", 0)


@PREFIXES
@DIALECTS
@pytest.mark.parametrize("form", ["as it is", "spaced", "canonical"])
async def test_what_is_not_ascii_is_signed_in_either_form(
    vista: Vista, dialect: str, prefix: str, form: str
) -> None:
    payload = {"annotations": [BOX]}
    raw = json.dumps(payload, ensure_ascii=False).encode()
    canonical = json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()
    sent = json.dumps(payload, indent=3).encode() if form == "spaced" else raw
    headers = signed(dialect, canonical if form != "as it is" else sent)
    identity = await vista.analysis()
    answer = await send(vista, prefix, "annotations:bulk", identity, sent, headers)
    assert answer.is_success, answer.text
    assert answer.json()["annotations"][0]["class_name"] == BOX["class_name"]


@PREFIXES
@DIALECTS
async def test_a_key_twice_is_signed_only_as_it_is(vista: Vista, dialect: str, prefix: str) -> None:
    identity = await vista.analysis()
    sent = b'{"status": "failed", "status": "completed"}'
    last = signed(dialect, b'{"status":"completed"}')
    refused = await send(vista, prefix, "finalize", identity, sent, last)
    assert refused.status_code == 401
    assert (await seen(vista, identity))[0] == "queued"
    taken = await send(vista, prefix, "finalize", identity, sent, signed(dialect, sent))
    assert taken.json()["status"] == "completed"


@PREFIXES
@DIALECTS
async def test_what_else_holds(vista: Vista, dialect: str, prefix: str) -> None:
    """The secret before, clocks that are a little off, and times in words."""
    body = json.dumps({"annotations": [BOX]}).encode()
    words = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    for headers in (
        signed(dialect, body, secret=OLD_SECRET),
        signed(dialect, body, off=-200),
        signed(dialect, body, off=200),
        signed(dialect, body, stamp=words),
    ):
        identity = await vista.analysis()
        answer = await send(vista, prefix, "annotations:bulk", identity, body, headers)
        assert answer.is_success, answer.text
        assert await seen(vista, identity) == ("queued", 1)


@PREFIXES
async def test_reads_are_signed_on_api_ml_alone(vista: Vista, prefix: str) -> None:
    url = f"{prefix}/analyses/{await vista.analysis()}"
    for headers, is_good in (
        ({}, False),
        (signed("timestamped", b""), True),
        (signed("documented", b""), True),
        (signed("timestamped", b"{}"), False),
        (signed("timestamped", b"", off=-400), False),
    ):
        answer = await vista.client.get(url, headers=headers | vista.user)
        assert answer.status_code == (200 if is_good or prefix != "/api-ml" else 401)
