"""What stands in requests: signatures, tokens, cursors, filters, headers, forms, JSON, URLs."""

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.datastructures import Headers

from fuzz.target import Target, check
from opsin.compat.vista.signatures import canonical_json, read_timestamp, verify
from opsin.core.access import presented_key
from opsin.core.addresses import AllowedDestination, is_public
from opsin.core.errors import ConfigurationError, InvalidInput, OpsinError, Unauthenticated
from opsin.core.events import decode_position, encode_position
from opsin.core.fetch import parse_url
from opsin.core.pages import Order, cursor_mark, decode_cursor
from opsin.core.storable import check_json, storable_json
from opsin.core.tokens import TokenParts
from opsin.graphql import forms, http_rules
from opsin.storage.json_text import load_json, parse_json
from opsin.storage.substring import Substring, carries
from opsin.web.byte_ranges import UnsatisfiableRange, asked_range

_ORDERS = (Order(), Order(descending=True), Order("created_at"), Order("created_at", True))
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ID = "01890000-0000-7000-8000-000000000000"


def signature(data: bytes) -> None:
    """Three lines: signature, timestamp, body.  Nothing is good, and nothing breaks."""
    head, _, rest = data.partition(b"\n")
    stamp, _, body = rest.partition(b"\n")
    texts = head.decode("latin-1"), stamp.decode("latin-1")
    found = verify(["secret"], *texts, body, now=_NOW, skew=timedelta(seconds=300))
    check(found is None, "nobody guesses a signature")
    read_timestamp(texts[1])
    canonical = canonical_json(body)
    if canonical is not None:
        check(canonical_json(canonical) == canonical, "canonical once is canonical")
        # Blanks make it long enough for the quick way, and change nothing else but in UTF-16.
        check(b"\0" in body or canonical_json(body + b" " * 5000) == canonical, "blanks")


def token(data: bytes) -> None:
    text = data.decode("latin-1")
    parts = TokenParts.of(text)
    check(not parts.fits(None) and not parts.fits("0" * 64), "no text is everybody's token")
    first, _, second = text.partition("\n")
    with suppress(Unauthenticated):
        presented_key(first or None, second or None)


def cursor(data: bytes) -> None:
    text = data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("latin-1")
    for order in _ORDERS:
        with suppress(InvalidInput):
            value, identity = decode_cursor(text, order)
            check(re.fullmatch(r"[0-9a-f-]{36}", identity), "an id as it is stored")
            check(value == identity or value.tzinfo is UTC, "a moment in UTC")
    with suppress(InvalidInput):
        position = decode_position(text)
        check(decode_position(encode_position(position)) == position < 1 << 63, "a position")


def search(data: bytes) -> None:
    """Two lines: what is looked for, and in what.  SQLite and Python agree."""
    if not _is_text(data):
        return
    text, _, document = data.decode().partition("\n")
    if "\0" in document or "\0" in text or len(text) > 100:
        return
    wanted = Substring(text)
    by_pattern = re.search(wanted.regex, document) is not None
    check(by_pattern or text not in document, "what is in it is found")
    with closing(sqlite3.connect(":memory:")) as database:
        (by_database,) = database.execute("SELECT ? GLOB ?", (document, wanted.glob)).fetchone()
    check(bool(by_database) == by_pattern, "the database finds the same")
    carries(document, None, wanted.regex)
    check(carries(json.dumps({"a": document}), "a", wanted.regex) == by_pattern, "in JSON too")


def any_json(data: bytes) -> None:
    """What is parsed and may be stored comes back as it was."""
    try:
        value: Any = parse_json(data)
    except json.JSONDecodeError:
        return
    try:
        check_json(value, "it")
    except InvalidInput:
        return
    text = storable_json(value, "it")
    check(load_json(text) == value, "the same value")
    check("\0" not in text, "storable")


def form(data: bytes) -> None:
    """Two lines: the content type, the body."""
    content_type, _, body = data.partition(b"\n")
    with suppress(ValueError):
        members = forms.members_of(content_type, body)
        check(forms.is_form(content_type), "only of a form")
        check(members is None or not callable(members), "a value")


def headers(data: bytes) -> None:
    """Accept and Content-Type, and the Range of files."""
    first, _, second = data.decode("latin-1").partition("\n")
    given = Headers({"accept": first, "content-type": second})
    media_type = http_rules.response_media_type(given)
    check(media_type in (http_rules.JSON, http_rules.GRAPHQL_RESPONSE), "one of two")
    http_rules.prefers_event_stream(first)
    http_rules.parse_media_type(second)
    with suppress(UnsatisfiableRange):
        found = asked_range({"range": first, "if-range": second}, 1000, second)
        check(found is None or 0 <= found.start < found.end <= 1000, "a part of the file")


def url(data: bytes) -> None:
    """URLs to fetch, and lines of the allow-list."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(OpsinError):
        parsed = parse_url(text)
        check(parsed.scheme in ("http", "https") and not parsed.userinfo, "a plain web URL")
        check(not {*"\r\n\0 "} & {*parsed.raw_path.decode("ascii")}, "one line of a request")
    with suppress(ConfigurationError):
        AllowedDestination.parse(text)


def address(data: bytes) -> None:
    """An IPv4 address is public in all its forms inside IPv6, or in none."""
    from ipaddress import IPv4Address, IPv6Address

    if len(data) < 4:
        return
    plain = IPv4Address(data[:4])
    allowed = is_public(plain)
    number = int(plain)
    for base, shift in ((0xFFFF << 32, 0), (0x0064FF9B << 96, 0), (0x2002 << 112, 80)):
        inside = IPv6Address(base | number << shift)
        check(is_public(inside) == allowed, f"{inside} as {plain}")
    check(not is_public(IPv6Address(number)), "IPv4-compatible addresses are nowhere")


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _form_seeds() -> Sequence[bytes]:
    parts = [
        'name="operations"\r\n\r\n{"query": "{ a }", "variables": {"file": null}}',
        'name="map"\r\n\r\n{"0": ["variables.file"]}',
        'name="0"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nPNG',
    ]
    body = "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    return [f"multipart/form-data; boundary=x\n{body}--x--\r\n".encode()]


def _cursor_seeds() -> Sequence[bytes]:
    moment = _NOW.isoformat(timespec="microseconds")
    return [
        encode_position(77).encode(),
        *(
            f"{cursor_mark(order)}{'' if order.column == 'id' else moment + '|'}{_ID}".encode()
            for order in _ORDERS
        ),
    ]


TARGETS = (
    Target("signatures", signature, lambda: [
        b'sha256=00\n1767225600\n{"b": 1, "a": [1.5, "\\u00e9"], "c": {"d": null}}',
        b'00\n2026-01-01T00:00:00Z\n{"a": 1, "a": 2}',
        b"\n" + b"9" * 20 + b"\n[" + b"1" * 5000 + b"]",
    ]),
    Target("tokens", token, lambda: [b"Bearer opsin_0123456789ab_x\nkey", b"opsin__"]),
    Target("cursors", cursor, _cursor_seeds),
    Target("filters", search, lambda: [
        "stra\u00dfe*?[\nSTRA\u00dfE*?[ \u01c5".encode(),
        "\u00e9]\\a".encode() * 9 + b"\n" + "\u00c9]\\A".encode() * 12,
        b"a.c\n{\"a\": \"A.C\"}", b"(a+)+$\naaaa!",
    ]),
    Target("json", any_json, lambda: [
        b'{"a": [1, 2.5, "\\ud83d\\ude00", null, true], "b": 123456789012345678901234567890}',
        b"[" * 250 + b"]" * 250, b'"\\ud800"', b"1e999", b"1" * 5000, b"-" + b"9" * 400,
    ]),
    Target("forms", form, _form_seeds),
    Target("headers", headers, lambda: [
        b"application/json;q=0.5, text/event-stream, */*\nmultipart/form-data; boundary=x",
        b"bytes=0-99\nabc", b"bytes=-5\nabc",
    ]),
    Target("urls", url, lambda: [
        b"https://example.org:8443/a%20b?c=d#e", b"http://[::1%25eth0]/", b"http://0x7f.1/",
        "http://b\u00fccher.example/\u00e4".encode(), b"10.0.0.0/8:80", b"[fd00::/8]:90",
    ]),
    Target("addresses", address, lambda: [
        bytes([127, 0, 0, 1]), bytes([8, 8, 8, 8]), bytes([169, 254, 169, 254]),
        bytes([100, 64, 0, 1]), bytes([192, 0, 0, 192]), bytes([168, 63, 129, 16]),
    ]),
)  # fmt: skip
