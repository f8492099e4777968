"""The quick check of findings accepts nothing that the careful one refuses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsin.core.checked_annotations import (
    COLUMNS,
    CheckedAnnotations,
    check_annotations,
    quick_check,
    validate_annotations,
)
from opsin.core.contract import Annotation
from opsin.core.errors import InvalidInput
from opsin.storage.json_text import load_json

RIGHT: dict[str, Any] = {
    "annotation_type": "bounding_box",
    "data": {"bbox": [1, 2, 3, 4], "format": "xywh"},
    "class_name": "cat",
    "confidence": 0.1 + 0.2,
    "storage_path": None,
    "ordering": 7,
}
LENGTHS = st.sampled_from([0, 2, 3, 50, 51, 255, 256, 1024, 1025]).map("x".__mul__)
TEXTS = LENGTHS | st.sampled_from(["a\x00b", "\ud800ab", "Käfer"])
NUMBERS = st.sampled_from(
    [0, 1, -1, 1.0, 1.5, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 10**30, 0.5, -0.0, 1.0000001]
)
DATA = st.sampled_from(
    [{}, {"a": None}, {"a\x00": 1}, {"a": float("nan")}, {1: 2}, {"a": 2**70}, {"a": [[[1]]]}]
)
OTHERS: st.SearchStrategy[Any] = st.sampled_from(
    [float("nan"), float("inf"), True, None, [], b"bytes"]
)
VALUES = TEXTS | NUMBERS | DATA | OTHERS
FIELDS = st.sampled_from([*RIGHT, "colour"])
ONE = st.builds(
    lambda changes, absent: {k: v for k, v in (RIGHT | changes).items() if k not in absent},
    st.dictionaries(FIELDS, VALUES, max_size=2),
    st.sets(FIELDS, max_size=2),
)


def carefully(found: list[Any]) -> CheckedAnnotations | None:
    try:
        return CheckedAnnotations.of(validate_annotations(found))
    except InvalidInput:
        return None


@given(st.lists(ONE, max_size=4))
def test_what_is_accepted_quickly_is_accepted_and_the_same(found: list[Any]) -> None:
    quickly = quick_check()(found)
    if quickly is not None:
        assert quickly == carefully(found)


@given(st.lists(ONE, max_size=4))
def test_the_two_together_are_the_careful_one(found: list[Any]) -> None:
    expected = carefully(found)
    if expected is None:
        with pytest.raises(InvalidInput):
            check_annotations(found)
    else:
        assert check_annotations(found) == expected


def test_usual_findings_are_taken_quickly() -> None:
    absent = [{"annotation_type": "tag", "data": {}}, RIGHT | {"confidence": 1, "ordering": None}]
    checked = quick_check()([RIGHT, *absent])
    assert checked is not None
    assert dict(zip(COLUMNS, checked.rows[0], strict=True)) == RIGHT | {
        "data": '{"bbox":[1,2,3,4],"format":"xywh"}'
    }
    assert checked.rows[1] == ("tag", None, None, "{}", None, None)
    assert checked.rows[2][2] == 1.0


def test_names_may_be_those_of_another_door() -> None:
    check = quick_check(str.upper)
    checked = check([{"ANNOTATION_TYPE": "tag", "DATA": {"a": 1}}])
    assert checked is not None and checked.rows[0][:4] == ("tag", None, None, '{"a":1}')
    assert check([RIGHT]) is None


def test_a_plugins_own_are_looked_at_too() -> None:
    made = Annotation.model_construct(annotation_type="x", data={})  # escaped its own checks
    with pytest.raises(InvalidInput, match="annotation 1: annotation_type"):
        check_annotations([Annotation(annotation_type="tag", data={}), made])


def test_data_comes_back_to_the_last_bit() -> None:
    data = {"z": 5e-324, "a": [0.1 + 0.2, 1e300, -0.0, 2**63 - 1, 2**70], "": "\u2028\\u0000"}
    (row,) = check_annotations([RIGHT | {"data": data}]).rows
    assert load_json(row[3]) == data and list(load_json(row[3])) == list(data)
