"""Numbers, units and names as reports print them."""

import pytest

from opsin.core.reports.wording import clean, humanized, number_text, value_text


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (0.0446, "0.0446"),
        (0.5, "0.5"),
        (3.0, "3"),
        (12.25, "12.2"),
        (99.96, "100"),
        (719.4, "719"),
        (1234567, "1.23e+06"),
        (0.00001, "1e-05"),
        (-2.23, "\u22122.23"),
        (200, "200"),
    ],
)
def test_three_digits_matter(value: float, told: str) -> None:
    assert number_text(value) == told


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.125, "share", "12.5 %"),
        (27.2, "degrees", "27.2°"),
        (7.18, "mm/cm^2", "7.18 mm/cm²"),
        (80.4, "score", "80.4"),
        (3, "", "3"),
        (199, "pixels", "199 pixels"),
    ],
)
def test_units_are_printed_as_people_write_them(value: float, unit: str, told: str) -> None:
    assert value_text(value, unit) == told


@pytest.mark.parametrize(
    ("name", "told"),
    [("left_cheek", "Left cheek"), ("ita", "ITA"), ("embed_clip", "Embed CLIP"), ("", "")],
)
def test_names_are_words(name: str, told: str) -> None:
    assert humanized(name) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("two\n lines\t here ", "two lines here"),
        ("back\u202ewards\x00", "backwards"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("12345678901", "123456789…"),
        ("\ue000private\ud800", "private"),
    ],
)
def test_what_cannot_be_seen_is_left_out(text: str, told: str) -> None:
    assert clean(text, 10 if text[0] == "1" else 100) == told
