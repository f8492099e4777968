"""JSON text: nothing is lost on the way, and nothing that is not JSON comes in."""

import contextlib
import json
from typing import Any

import pytest

from opsin.storage.json_text import dump_json, load_json, parse_json

NOT_JSON = ["", "{", "NaN", "1e999", '"\\ud800"', "[" * 2000 + "]" * 2000, f"[NaN, {'9' * 30}]"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, "\u00e9\U0001f600", True, {}]},
        2**63,
        -(2**64),
        123456789012345678901234567890,
        [0.1234567890123456, 1e300],
        {"9" * 40: "8" * 40},
    ],
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    for read in (load_json, parse_json):
        assert read(dump_json(value)) == value
        assert read(dump_json(value).encode()) == value


def test_what_is_stored_can_be_read() -> None:
    assert load_json(dump_json([10**400])) == [10**400]


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json(text)


def test_a_deep_value_with_a_long_number_is_read_or_refused() -> None:
    # The standard library stops where this Python's stack ends.
    with contextlib.suppress(json.JSONDecodeError):
        parse_json("[" * 1000 + "9" * 30 + "]" * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "0.0012345678901234567",
        "[0.0012345678901234567, 12345678901234567890]",
        "[12345678901234567890, 0.0012345678901234567]",
        "-12345678901234567890",
        "12345678901234567890.5",
        '{"0.1234567890123456789": 1234567890123456789012}',
        "1.5e-10",
    ],
)
def test_long_fractions_are_not_long_integers(text: str) -> None:
    assert repr(parse_json(text)) == repr(json.loads(text))
