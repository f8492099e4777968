"""The canonical form of large bodies, made quickly: the same text as slowly, or none."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsin.compat.vista import signatures
from opsin.compat.vista.signatures import Dialect, canonical_json, verify
from tests.compat.vista.pipelines import SECRET, hex_digest

ROW = '{"b": %s, "a": {"z": [1, 2.50, -0.0, 1e-7], "y": null}}'
VALUES = ["1", "0.1", "1E5", "123456789012345678", "true", '"text"', '"鯨"', "[]", "{}", '""']


def body(*values: str) -> str:
    rows = ", ".join(ROW % values[n % len(values)] for n in range(150))
    return f'{{"rows": [{rows}], "first": 1}}'


def dialect(sent: bytes, signed: bytes) -> Dialect | None:
    now = datetime.now(UTC)
    stamp = str(int(now.timestamp()))
    given: dict[str, Any] = {"now": now, "skew": timedelta(seconds=300)}
    return verify([SECRET], hex_digest(signed), stamp, sent, **given)


def test_it_is_the_same_text() -> None:
    numbers = random.Random(5)
    values = [
        *VALUES,
        *(repr(numbers.uniform(-1, 1) * 10 ** numbers.randint(-9, 9)) for _ in "x" * 99),
    ]
    sent = body(*values).encode()
    quick = signatures._quick_canonical(sent)
    assert quick is not None
    assert quick == canonical_json(sent)
    assert dialect(sent, quick) is Dialect.DOCUMENTED


@pytest.mark.parametrize(
    "value",
    ['"\\"quoted\\""', '"\\u00e9"', "NaN", "Infinity", "[1,]", '"\x01"', "12345678901234567890123"],
)
def test_what_is_unusual_is_left_to_the_slow_way(value: str) -> None:
    sent = body("1", value).encode()
    slow = canonical_json(sent)
    if slow is None:
        assert signatures._quick_canonical(sent) is None
    else:
        assert dialect(sent, slow) is Dialect.DOCUMENTED


@pytest.mark.parametrize("twice", ['{"a": 1, "a": 1}', '{"k": {}, "k": "text"}', '{"": 1, "": 2}'])
def test_a_key_that_comes_twice_has_no_canonical_form(twice: str) -> None:
    sent = body("1", twice).encode()
    assert signatures._quick_canonical(sent) is None
    assert canonical_json(sent) is None
    text = json.dumps(json.loads(sent), separators=(",", ":"), sort_keys=True).encode()
    assert dialect(sent, text) is None
    assert dialect(sent, sent) is Dialect.DOCUMENTED  # its own bytes may be signed
