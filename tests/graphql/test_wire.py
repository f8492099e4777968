"""JSON on the wire: what orjson would refuse is written, and fragments are put in as they are."""

import json
from typing import Any

import orjson
import pytest

from opsin.graphql.wire import encode_json

BIG = 123456789012345678901234567890


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "ü\U0001f600"]},
        {"a": BIG, "b": {"c": [BIG, 0.1], "d": "ü"}},
        [[], {}, [BIG]],
        {'quoted "name"\n': BIG, "ü": 1},
        {"nested": json.loads("[" * 200 + "]" * 200), "big": BIG},
        {"lone": "\ud800", "\ud800": BIG},
    ],
)
def test_every_value_comes_back(value: Any) -> None:
    assert json.loads(encode_json(value)) == value


def test_numbers_that_are_not_json_are_null() -> None:
    nan, infinite = float("nan"), float("-inf")
    for more in (1, BIG):
        assert json.loads(encode_json({"a": nan, "b": [infinite, more]})) == {
            "a": None,
            "b": [None, more],
        }


def test_fragments_are_put_in_as_they_are() -> None:
    fragment = orjson.Fragment(b'{"x":  1.0}')
    assert encode_json({"data": fragment}) == b'{"data":{"x":  1.0}}'
    # Beside what orjson refuses, too.
    written = encode_json({"data": {"a": fragment, "b": [BIG, fragment]}, "errors": ["\ud800"]})
    assert written == (
        b'{"data":{"a":{"x":  1.0},"b":[' + str(BIG).encode() + b',{"x":  1.0}]},'
        b'"errors":["\\ud800"]}'
    )


def test_names_that_are_no_text_are_written_as_text() -> None:
    assert json.loads(encode_json({1: BIG, "a": 2})) == {"1": BIG, "a": 2}
