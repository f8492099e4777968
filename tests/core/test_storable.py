"""The quick way to JSON text says the same as the careful one, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsin.core.errors import InvalidInput
from opsin.core.storable import MAX_DEPTH, check_json, quick_json, storable_json
from opsin.storage.json_text import dump_json, load_json

UNUSUAL_TEXTS = st.sampled_from(["\x00", "\ud800", "\n", ",\n,", "null", "\\u0000"])
UNUSUAL_NUMBERS = st.sampled_from([2**64, 2**70, 10**400, 1e-320, -0.0])
UNUSUAL = UNUSUAL_TEXTS | UNUSUAL_NUMBERS
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | UNUSUAL
NAMES = st.text() | st.sampled_from(["", "null", "a\x00", "\udfff", "\n"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=20
)


def careful(value: Any) -> str | None:
    try:
        check_json(value, "x")
    except InvalidInput:
        return None
    return dump_json(value)


@given(st.lists(VALUES, max_size=5))
def test_what_is_quickly_written_is_what_is_carefully_written(values: list[Any]) -> None:
    quickly = quick_json(values)
    if quickly is not None:
        assert quickly == [careful(value) for value in values]


@given(VALUES)
def test_every_value_is_written_or_refused_as_the_check_has_it(value: Any) -> None:
    expected = careful(value)
    if expected is None:
        with pytest.raises(InvalidInput, match=r"^x: "):
            storable_json(value, "x")
    else:
        assert storable_json(value, "x") == expected
        assert json.dumps(load_json(expected)) == json.dumps(value)


@pytest.mark.parametrize("kind", [list, dict])
def test_the_depth_is_the_same_for_both(kind: type) -> None:
    value: Any = 1
    for depth in range(1, 300):
        value = [value] if kind is list else {"a": value}
        expected = depth <= MAX_DEPTH
        assert (quick_json([value]) is not None) == expected
        assert (quick_json([1, value, {}]) is not None) == expected
        assert (careful(value) is not None) == expected


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {None: 1}}, {"a": b"bytes"}, {"a": {1}}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    assert quick_json([value]) is None
    with pytest.raises(InvalidInput):
        storable_json(value, "x")
