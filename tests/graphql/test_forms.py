"""Small uploads taken apart in memory: as the common parser does it, or not at all."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartParser

from opsin.graphql import forms
from tests.conftest import LiveServer
from tests.graphql.asking import codes, post_file
from tests.pictures import noise_jpeg, solid_png

in_module_loop = pytest.mark.asyncio(loop_scope="module")

TYPE = b"multipart/form-data; boundary=b1"
OPERATIONS = b'{"query": "{ a }", "variables": {"file": null}}'
MAP = b'{"0": ["variables.file"]}'
PICTURE = """mutation($file: Upload!) {
  analyzeImage(input: {file: $file, tasks: []}) { picture { width } } }"""


def form(*parts: tuple[bytes, bytes], end: bytes = b"--b1--\r\n") -> bytes:
    """A form of parts, each a head and a content."""
    return b"".join(b"--b1\r\n" + head + b"\r\n\r\n" + c + b"\r\n" for head, c in parts) + end


def field(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="' + name + b'"', content


def file(content: bytes, head: bytes = b'; filename="a.png"') -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="0"' + head, content


FIELDS = (field(b"operations", OPERATIONS), field(b"map", MAP))

PLAIN = {
    "a file": form(*FIELDS, file(b"picture")),
    "a file with its type": form(*FIELDS, file(b"x", b'; filename="a"\r\nContent-Type: image/png')),
    "an empty file": form(*FIELDS, file(b"")),
    "lines and dashes": form(*FIELDS, file(b"\r\n--b\r\n--\r\n\r\n-- b1--\r\n\x00\xff")),
    "no end of line in the end": form(*FIELDS, file(b"x"), end=b"--b1--"),
    "no name of a file": form(*FIELDS, file(b"x", b'; filename=""')),
}
NOT_PLAIN = {
    "nothing": b"",
    "no end": form(*FIELDS, file(b"x"), end=b""),
    "cut off": form(*FIELDS, file(b"x"))[:-20],
    "words before": b"words\r\n" + form(*FIELDS, file(b"x")),
    "words after": form(*FIELDS, file(b"x")) + b"words",
    "another boundary": form(*FIELDS).replace(b"b1", b"b2"),
    "a boundary that goes on": form(*FIELDS).replace(b"--b1\r\n", b"--b1x\r\n"),
    "no operations": form(FIELDS[1], file(b"x")),
    "no map": form(FIELDS[0], file(b"x")),
    "operations twice": form(*FIELDS, FIELDS[0]),
    "an escaped name": form(*FIELDS, file(b"x", b'; filename="a\\"b"')),
    "a name in utf-8": form(*FIELDS, file(b"x", '; filename="ü"'.encode())),
    "an extended name": form(*FIELDS, file(b"x", b"; filename*=utf-8''a")),
    "another header": form(*FIELDS, file(b"x", b'; filename="a"\r\nX-Encoding: base64')),
    "no header": form(*FIELDS, (b"", b"x")),
    "operations are no JSON": form(field(b"operations", b"{"), FIELDS[1], file(b"x")),
    "the map leads nowhere": form(FIELDS[0], field(b"map", b'{"0": ["variables.x.y"]}'), file(b"")),
    "another in the map": form(FIELDS[0], field(b"map", b'{"1": ["variables.file"]}'), file(b"")),
    "too many parts": form(*FIELDS, *(field(b"n%d" % n, b"") for n in range(200))),
}  # fmt: skip


async def _parsed(body: bytes) -> FormData:
    async def stream() -> Any:
        yield body
        yield b""

    return await MultiPartParser(Headers({"content-type": TYPE.decode()}), stream()).parse()


def common(body: bytes) -> FormData:
    """What the common parser makes of the form."""
    return asyncio.run(_parsed(body))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_form_is_understood_as_ever(name: str) -> None:
    members = forms.members_of(TYPE, PLAIN[name])
    theirs = common(PLAIN[name])
    ours, expected = members["variables"]["file"], theirs["0"]
    assert isinstance(ours, UploadFile) and isinstance(expected, UploadFile)
    assert ours.file.read() == expected.file.read()
    assert (ours.filename, ours.size, ours.content_type) == (
        expected.filename,
        expected.size,
        expected.content_type,
    )
    assert members["query"] == json.loads(str(theirs["operations"]))["query"]
    expected.file.close()


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_any_content_comes_through(content: bytes, more: bytes) -> None:
    body = form(*FIELDS, file(content + b"\r\n--b1"[: len(more) % 6] + more))
    if body.count(b"\r\n--b1") != 3:  # the boundary itself is no content
        return
    theirs = common(body)["0"]
    assert isinstance(theirs, UploadFile)
    assert forms.members_of(TYPE, body)["variables"]["file"].file.read() == theirs.file.read()
    theirs.file.close()


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_is_left(name: str) -> None:
    with pytest.raises(ValueError):
        forms.members_of(TYPE, NOT_PLAIN[name])


@pytest.mark.parametrize(
    ("content_type", "understood"),
    [
        (TYPE, True),
        (b'multipart/form-data; boundary="b 1"', False),
        (b'multipart/form-data;boundary="b=1"', True),
        (b"multipart/form-data; charset=utf-8; boundary=b1", False),
        (b"multipart/form-data", False),
        (b"multipart/form-data; boundary=" + b"x" * 71, False),
        (b"application/json", False),
    ],
)
def test_which_types_are_understood(content_type: bytes, understood: bool) -> None:
    assert forms.is_form(content_type) is understood


async def upload(live: LiveServer, picture: bytes, **options: Any) -> httpx.Response:
    asked = json.dumps({"query": PICTURE, "variables": {"file": None}})
    return await post_file(live.client, asked, picture, "variables.file", **options)


@in_module_loop
async def test_small_uploads_go_the_short_way(door: LiveServer, ordinary: list[str]) -> None:
    answer = await upload(door, solid_png())
    assert answer.json()["data"]["analyzeImage"]["picture"]["width"] > 0
    assert ordinary == []


@in_module_loop
async def test_large_uploads_and_those_of_pages_go_the_ordinary_way(
    door: LiveServer, ordinary: list[str]
) -> None:
    large = noise_jpeg(1500, 1500)
    assert len(large) > forms.MOST_BYTES
    answer = await upload(door, large)
    assert answer.json()["data"]["analyzeImage"]["picture"]["width"] == 1500
    answer = await upload(door, solid_png(), headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    answer = await upload(door, solid_png(), headers={"origin": door.url})
    assert answer.status_code == 200
    assert ordinary == ["POST"] * 3


@in_module_loop
# The common parser leaves the temporary file of a form without an end to the garbage collector.
@pytest.mark.parametrize("name", sorted(NOT_PLAIN.keys() - {"no end", "cut off"}))
async def test_what_is_left_is_answered_the_ordinary_way(door: LiveServer, name: str) -> None:
    answer = await door.client.post(
        "/graphql", content=NOT_PLAIN[name], headers={"content-type": TYPE.decode()}
    )
    assert answer.status_code in (200, 400)
    assert codes(answer.json())
