"""Signatures of requests: both dialects, their edges, and what is no signature."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsin.compat.vista.signatures import Dialect, canonical_json, read_timestamp, verify
from tests.compat.vista.pipelines import OLD_SECRET, SECRET, hex_digest

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = json.dumps({"status": "processing", "note": "naïve ☃ 🐋", "n": 1.5}).encode()
CANONICAL = b'{"n":1.5,"note":"na\\u00efve \\u2603 \\ud83d\\udc0b","status":"processing"}'


def check(signature: str, stamp: str = STAMP, body: bytes = BODY, **options: Any) -> Dialect | None:
    given: dict[str, Any] = {"now": NOW, "skew": timedelta(seconds=300)}
    return verify([SECRET, OLD_SECRET], signature, stamp, body, **(given | options))


def stamped(body: bytes = BODY, stamp: str = STAMP, secret: str = SECRET) -> str:
    return "sha256=" + hex_digest(stamp.encode() + b"." + body, secret)


def test_both_dialects_sign_the_body_or_its_canonical_form() -> None:
    assert canonical_json(BODY) == CANONICAL
    for body in (BODY, CANONICAL):
        assert check(stamped(body)) is Dialect.TIMESTAMPED
        assert check(hex_digest(body)) is Dialect.DOCUMENTED


def test_text_that_is_not_ascii_may_be_sent_as_it_is() -> None:
    body = '{"class_name": "Größe 鯨"}'.encode()
    assert check(stamped(body), body=body) is Dialect.TIMESTAMPED
    assert check(hex_digest(body), body=body) is Dialect.DOCUMENTED


def test_both_secrets_hold_while_they_change() -> None:
    assert check(stamped(secret=OLD_SECRET)) is Dialect.TIMESTAMPED
    assert check(hex_digest(BODY, OLD_SECRET)) is Dialect.DOCUMENTED
    assert check(stamped(secret="another")) is None
    assert check(hex_digest(BODY, "another")) is None


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        hex_digest(BODY).upper(),
        "sha256=" + stamped().removeprefix("sha256=").upper(),
        stamped().removeprefix("sha256="),  # the timestamp is signed, and the prefix is missing
        "sha256=" + hex_digest(BODY),  # the prefix, and the timestamp is not signed
        "SHA256=" + stamped().removeprefix("sha256="),
        "sha512=" + stamped().removeprefix("sha256="),
        stamped() + "0",
        " " + hex_digest(BODY),
        "é" * 64,
        "\udcff" * 64,
    ],
)
def test_what_is_no_signature(signature: str) -> None:
    assert check(signature) is None


@pytest.mark.parametrize(("off", "holds"), [(0, True), (299, True), (300, True), (301, False)])
def test_the_window_is_as_wide_on_both_sides(off: int, holds: bool) -> None:
    for moment in (int(NOW.timestamp()) + off, int(NOW.timestamp()) - off):
        stamp = str(moment)
        assert (check(stamped(stamp=stamp), stamp) is not None) is holds
        assert (check(hex_digest(BODY), stamp) is not None) is holds


@pytest.mark.parametrize(
    "stamp",
    ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00", "2026-11-21 12:00:00.25+00:00"],
)
def test_timestamps_may_be_iso(stamp: str) -> None:
    assert check(stamped(stamp=stamp), stamp) is Dialect.TIMESTAMPED


@pytest.mark.parametrize(
    "stamp", ["", "0", "now", "1700000000.5", f"{STAMP}000", "-1", "²", "9" * 400, "1e9"]
)
def test_what_is_no_timestamp(stamp: str) -> None:
    assert check(stamped(stamp=stamp) if stamp.isascii() else "x", stamp) is None
    assert check(hex_digest(BODY), stamp) is None


def test_a_time_without_a_zone_is_the_servers() -> None:
    local = NOW.astimezone().replace(tzinfo=None).isoformat()
    assert read_timestamp(local) == NOW.timestamp()


def test_the_documented_dialect_can_be_switched_off() -> None:
    assert check(hex_digest(BODY), documented=False) is None
    assert check(stamped(), documented=False) is Dialect.TIMESTAMPED


def test_a_key_twice_has_no_canonical_form() -> None:
    twice = b'{"status": "completed", "status":"failed"}'
    assert check(hex_digest(b'{"status":"failed"}'), body=twice) is None
    assert check(stamped(b'{"status":"failed"}'), body=twice) is None
    assert check(hex_digest(twice), body=twice) is Dialect.DOCUMENTED


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"\x00"])
def test_bodies_that_are_no_json_are_signed_as_they_are(body: bytes) -> None:
    assert check(stamped(body), body=body) is Dialect.TIMESTAMPED
    assert check(hex_digest(body), body=body) is Dialect.DOCUMENTED
    assert check(hex_digest(body + b" "), body=body) is None


def test_no_secret_verifies_nothing() -> None:
    assert verify([], stamped(), STAMP, BODY, now=NOW, skew=timedelta(seconds=300)) is None
