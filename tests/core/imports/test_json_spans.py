"""Where values stand in JSON files: held to Python's own parser, wherever chunks are cut."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsin.core.errors import InvalidInput
from opsin.core.imports import json_spans
from opsin.core.imports.found import Refusal
from opsin.core.imports.json_file import JsonFile
from opsin.core.imports.json_spans import Broken, groups_of, key_of, lines, outline

UNHURRIED = settings(deadline=None)  # machines are shared
TEXTS = st.text(alphabet='\\"{}[],:a\n é', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def walk(text: bytes, chunk: int) -> json_spans.Outline:
    class Small:
        def __init__(self) -> None:
            self.file = io.BytesIO(text)

        def read(self, size: int, /) -> bytes:
            return self.file.read(chunk)

    return outline(Small())


@UNHURRIED
@given(st.lists(VALUES, max_size=6), st.integers(1, 9), st.sampled_from([None, 1]))
def test_objects_and_lists_in_a_list(values: list[Any], chunk: int, indent: int | None) -> None:
    text = json.dumps(values, indent=indent).encode()
    found = walk(text, chunk).values
    parsed = [json.loads(text[a:b]) for a, b in zip(found.starts, found.ends, strict=True)]
    assert parsed == [value for value in values if isinstance(value, dict | list)]


@UNHURRIED
@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.integers(1, 9), st.booleans())
def test_objects_and_lists_in_members(members: dict[str, Any], chunk: int, is_ascii: bool) -> None:
    text = json.dumps(members, ensure_ascii=is_ascii).encode()
    found = walk(text, chunk)
    inner = [
        json.loads(text[a:b]) for a, b in zip(found.inner.starts, found.inner.ends, strict=True)
    ]
    expected: list[Any] = []
    for member in members.values():
        if isinstance(member, dict | list):
            parts = member.values() if isinstance(member, dict) else member
            expected += [part for part in parts if isinstance(part, dict | list)]
    assert inner == expected


@pytest.mark.parametrize("text", [b"[", b'{"a": [1, 2', b'["abc', b'{"a": "b\\"}', b"[[]"])
def test_a_file_that_ends_in_the_middle(text: bytes) -> None:
    with pytest.raises(Broken, match="ends in the middle"):
        walk(text, 3)


@pytest.mark.parametrize("text", [b"]", b"[]]", b"{}}"])
def test_a_bracket_too_many(text: bytes) -> None:
    with pytest.raises(Broken, match="not opened"):
        walk(text, 1)


def test_a_second_document() -> None:
    with pytest.raises(Broken, match="goes on after its end"):
        walk(b"[1]\n[2]", 100)


@UNHURRIED
@given(st.lists(st.sampled_from(["", "{}", "ab", "\r", "a\rb"]), max_size=8), st.booleans())
def test_lines(texts: list[str], ends: bool) -> None:
    text = "\n".join(texts) + ("\n" if ends else "")
    found = lines(io.BytesIO(text.encode()))
    split = [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)]
    assert split == [line for line in text.split("\n") if len(line) > 1]


@UNHURRIED
@given(st.lists(st.integers(-3, 3), max_size=20))
def test_groups(keys: list[int]) -> None:
    found = [list(group) for group in groups_of(np.array(keys, np.int64))]
    expected: dict[int, list[int]] = {}
    for number, key in enumerate(keys):
        expected.setdefault(key, []).append(number)
    assert found == list(expected.values())


def test_keys_of_ids() -> None:
    assert key_of(17) == key_of(17.0) == 17
    assert key_of("17") not in (None, 17)
    assert key_of("a") != key_of("b")
    nothings: list[Any] = [None, True, 1.5, [], {}, 1 << 62]
    for nothing in nothings:
        assert key_of(nothing) is None


def open_file(folder: Path, text: str | bytes, *, by_line: bool = False) -> JsonFile:
    path = folder / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return JsonFile(path, "a.json", by_line=by_line)


def test_members_and_what_is_in_them(tmp_path: Path) -> None:
    text = '\ufeff{"n": 1, "info": {"a": [1]},\n "images": [{"id": 1},\n{"id": 2}], "e": []}'
    file = open_file(tmp_path, text)
    members = file.members()
    assert members["n"] == 1 and list(members) == ["n", "info", "images", "e"]
    inside = file.inside(members["images"], "images")
    assert [values for _, values in file.batches(inside)] == [[{"id": 1}, {"id": 2}]]
    assert len(file.inside(members["e"], "e")) == 0
    assert str(file.place_of(inside, 1)) == "a.json:3"
    file.close()


def test_what_cannot_be_parsed_fails_alone(tmp_path: Path) -> None:
    file = open_file(tmp_path, '[{"a": 1},\n{"a": NaN},\n{"a" 3},\n{"a": 4} {"a": 5},\n{"a": 6}]')
    ((first, values),) = file.batches(file.items())
    refused = [f"{v.place}: {v.reason}" for v in values if isinstance(v, Refusal)]
    assert first == 0 and [v for v in values if isinstance(v, dict)] == [
        {"a": 1}, {"a": 4}, {"a": 6},
    ]  # fmt: skip
    assert [text.split(" ")[0] for text in refused] == ["a.json:2:", "a.json:3:", "a.json:4:"]
    assert "comma" in refused[2]
    file.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [1, 2}', "a.json:1: the file ends in the middle"),
        ('{"a": [1\n, 2', "a.json:2: the file ends in the middle"),
        ("[]\n[]", "a.json:2: the file goes on"),
        ('{"a": []} x', "not JSON"),
        ('{"a": [] "b": []}', "not JSON"),
        ('"text"', "neither"),
        ("", "not JSON"),
        ("not JSON at all", "not JSON"),
        ('{"a": []}'.encode("utf-16"), "not UTF-8"),
    ],
    ids=range(9),  # a text with NULs has no place in a name
)
def test_a_file_that_is_no_json(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        file = open_file(tmp_path, text)
        try:
            file.members()
        finally:
            file.close()
    assert words in raised.value.message


def test_lines_of_windows_and_long_numbers(tmp_path: Path) -> None:
    file = open_file(tmp_path, '{"a": 12345678901234567890123}\r\n\r\n{"a": 2}\r\n', by_line=True)
    ((_, values),) = file.batches(file.items())
    assert values == [{"a": 12345678901234567890123}, {"a": 2}]
    assert str(file.place_of(file.items(), 1)) == "a.json:3"
    file.close()
