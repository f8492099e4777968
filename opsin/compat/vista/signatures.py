"""HMAC signatures of requests, in the two forms that pipelines send."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

_MARK = "sha256="
_MOST_DIGITS = 20
_LARGE = 4096


class Dialect(StrEnum):
    """What was signed: the timestamp and the body, or the body alone."""

    TIMESTAMPED = "timestamped"
    DOCUMENTED = "documented"


def verify(
    secrets: Sequence[str],
    signature: str,
    timestamp: str,
    body: bytes,
    *,
    now: datetime,
    skew: timedelta,
    documented: bool = True,
) -> Dialect | None:
    """The dialect of a request that was signed with one of the secrets; None for any other.

    `sha256=<hex>` signs `<timestamp>.<body>`; hexadecimal digits alone sign the body, which is
    taken only with `documented`.  Either may sign the body's canonical JSON instead of its bytes.
    """
    sent_at = read_timestamp(timestamp)
    if sent_at is None or abs(int(now.timestamp()) - sent_at) > skew.total_seconds():
        return None
    if signature.startswith(_MARK):
        dialect, digest = Dialect.TIMESTAMPED, signature.removeprefix(_MARK)
        # As it was sent: header values are bytes, read as Latin-1.
        head = timestamp.encode("latin-1", "replace") + b"."
    elif documented:
        dialect, digest, head = Dialect.DOCUMENTED, signature, b""
    else:
        return None
    given = digest.encode("utf-8", "surrogatepass")
    for message in _messages(body):
        if _matches(secrets, given, head + message):
            return dialect
    return None


def read_timestamp(text: str) -> float | None:
    """Seconds since 1970, from a whole number or ISO 8601 (the server's zone where it has none)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _MOST_DIGITS else None
    try:
        return float(int(datetime.fromisoformat(text).timestamp()))
    except (ValueError, OverflowError, OSError):
        return None


def canonical_json(body: bytes) -> bytes | None:
    """The body with sorted keys, without blanks, in ASCII; None for what is no JSON.

    An object that has a key twice has no canonical form: readers differ in which one they take.
    """
    try:
        value = json.loads(body, object_pairs_hook=_without_twins)
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii")
    except (ValueError, RecursionError):
        return None


def _messages(body: bytes) -> Iterator[bytes]:
    yield body
    quick = _quick_canonical(body)
    if quick is not None:
        yield quick
    canonical = canonical_json(body)
    if canonical is not None:
        yield canonical


def _quick_canonical(body: bytes) -> bytes | None:
    """The canonical JSON of a large body in which nothing is unusual; None where there is doubt."""
    if len(body) < _LARGE or b"\\" in body:
        return None
    try:
        value = orjson.loads(body)
        # Without escapes, every quotation mark begins or ends a text: a key that came twice is
        # missed by the value, and then so are its marks.
        if orjson.dumps(value).count(b'"') != body.count(b'"'):
            return None
        return json.dumps(value, separators=(",", ":"), sort_keys=True).encode("ascii")
    except (ValueError, TypeError, RecursionError):
        return None


def _matches(secrets: Iterable[str], given: bytes, message: bytes) -> bool:
    # Every secret is tried, so that the time taken does not tell which one fits.
    expected = [
        hmac.new(secret.encode(), message, hashlib.sha256).hexdigest().encode("ascii")
        for secret in secrets
    ]
    return any([hmac.compare_digest(given, one) for one in expected])


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found
