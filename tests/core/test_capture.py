"""Image types: what their numbers and names are, and which sides and lights pictures may have."""

import itertools

import pytest

from opsin.core.capture import IMAGE_TYPES, SEXES, captured, image_type, sex
from opsin.core.errors import InvalidInput


def test_the_numbers_that_callers_keep() -> None:
    assert [(one.number, one.name) for one in IMAGE_TYPES] == [
        (1, "selfie"), (2, "skin"), (3, "visia"),
    ]  # fmt: skip
    selfie = image_type(1)
    assert selfie is image_type("selfie")
    assert [(one.number, one.name) for one in selfie.sides] == [
        (1, "front"), (2, "right"), (3, "left"),
    ]  # fmt: skip
    assert [(one.number, one.name) for one in selfie.lights] == [(1, "regular")]
    assert [(one.number, one.name) for one in SEXES] == [(1, "male"), (2, "female")]
    assert sex(2) is sex("female")


def test_one_number_means_one_side_and_one_light_in_every_type() -> None:
    for members in ([t.sides for t in IMAGE_TYPES], [t.lights for t in IMAGE_TYPES]):
        every = {one for some in members for one in some}
        for first, second in itertools.combinations(every, 2):
            assert first.number != second.number and first.name != second.name


def test_what_is_unsaid_is_the_types_first() -> None:
    assert captured("selfie", None, None) == ("front", "regular")
    assert captured("selfie", "left", None) == ("left", "regular")
    assert captured("visia", None, "ultraviolet") == ("front", "ultraviolet")


@pytest.mark.parametrize(
    ("kind", "side", "light"),
    [
        ("selfie", "back", None),
        ("selfie", "", None),
        ("selfie", "Front", None),
        ("selfie", None, "ultraviolet"),
        ("skin", "right", None),
    ],
)
def test_what_the_type_lacks_is_refused(kind: str, side: str | None, light: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"front|regular"):
        captured(kind, side, light)


def test_a_dataset_without_a_type_takes_any_names() -> None:
    assert captured(None, None, None) == (None, None)
    assert captured(None, " dorsal fin ", "dusk") == ("dorsal fin", "dusk")
    for name in ("", "  ", "x" * 65, "a\x00b"):
        with pytest.raises(InvalidInput):
            captured(None, name, None)


@pytest.mark.parametrize("key", ["Selfie", "", 0, 4, -1])
def test_no_such_type_and_no_such_sex(key: str | int) -> None:
    with pytest.raises(InvalidInput):
        image_type(key)
    with pytest.raises(InvalidInput):
        sex(key)
