"""An archive: its order, what is left out, and entries that somebody made on purpose."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from tests.compat.whales.making import (
    DETECTION,
    archive,
    batch,
    manifest,
    picture,
    settings_of,
    single,
    size_of,
)
from tests.conftest import LiveServer, serve

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

PATHS = ("/v1/predict-batch", "/predict-batch")
UNREADABLE = "Не удаётся распаковать архив."  # noqa: RUF001  # it is Russian


@pytest.mark.parametrize("path", PATHS)
async def test_answers_come_in_the_archives_order(whales: LiveServer, path: str) -> None:
    numbers = [*range(8), *range(8)]
    names = [f"z{99 - place}/{place}.png" for place in range(len(numbers))]
    packed = archive(dict(zip(names, map(picture, numbers), strict=True)))
    answer = await whales.client.post(path, **batch(packed))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [one["image_ind"] for one in found] == names
    assert all(tuple(one) == DETECTION and one["mask"] is None for one in found)
    for place in (0, 5):
        alone = (
            await whales.client.post(
                "/v1/predict-single", **single(picture(numbers[place]), names[place])
            )
        ).json()
        near = {"probability", "cetacean_score", "candidates"}
        assert {k: v for k, v in found[place].items() if k not in near} == {
            k: v for k, v in alone.items() if k not in near
        }
        for name in ("probability", "cetacean_score"):
            assert found[place][name] == pytest.approx(alone[name], abs=2e-4)


async def test_only_images_are_answered(whales: LiveServer) -> None:
    """What is no image is left out; what is one has an answer, also when it is damaged."""
    nested = archive({"inner.png": picture()})
    entries = [
        ("folder/", b""),
        ("a.png", picture()),
        ("readme.txt", b"not a picture"),
        ("empty.png", b""),
        ("b.png", picture(1)[:-30]),
        ("nested.zip", nested),
        ("../../c.png", picture(2)),
        ("/etc/d.png", picture(3)),
    ]
    found = (await whales.client.post(PATHS[0], **batch(archive(entries)))).json()
    assert [(one["image_ind"], one["rejection_reason"]) for one in found] == [
        ("a.png", None),
        ("b.png", "corrupted_image"),
        ("../../c.png", None),
        ("/etc/d.png", None),
    ]


async def test_two_entries_of_one_name_are_two_pictures(whales: LiveServer) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        packed = archive([("a.png", picture(0)), ("a.png", picture(1))])
    found = (await whales.client.post(PATHS[0], **batch(packed))).json()
    assert [one["bbox"][2:] for one in found] == [
        list(size_of(picture(0))),
        list(size_of(picture(1))),
    ]


async def test_no_archive_and_no_images(whales: LiveServer) -> None:
    answer = await whales.client.post(PATHS[0], **batch(archive({})))
    assert (answer.status_code, answer.content) == (200, b"[]")
    whole = archive({"a.png": picture()})
    for content in (b"", b"PK", b"not a zip" * 10, whole[:-30], whole[: len(whole) // 2]):
        answer = await whales.client.post(PATHS[0], **batch(content))
        assert (answer.status_code, answer.json()) == (400, {"detail": UNREADABLE}), content[:20]
    answer = await whales.client.post(PATHS[0], files={"file": ("a.zip", whole, "application/zip")})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "archive"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/zip", 200),
        ("application/x-zip-compressed", 200),
        ("application/octet-stream", 200),
        ("image/png", 415),
        ("application/zip; x=y", 415),
        ("Application/Zip", 415),
    ],
)
async def test_the_type_of_the_part(whales: LiveServer, kind: str, status: int) -> None:
    answer = await whales.client.post(PATHS[0], **batch(archive({"a.png": picture()}), kind))
    assert answer.status_code == status
    if status != 200:
        assert answer.json() == {"detail": "Ожидается ZIP-архив."}
    unseen = await whales.client.post(PATHS[0], **batch(b"no", "application/octet-stream"))
    assert unseen.status_code == 415


def _encrypted(packed: bytes) -> bytes:
    """With the mark of encryption at the first entry, in its header and in the index."""
    content = bytearray(packed)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        flags = struct.unpack("<H", content[at : at + 2])[0]
        content[at : at + 2] = struct.pack("<H", flags | 1)
    return bytes(content)


def _changed(packed: bytes) -> bytes:
    """With other bytes in the first entry than its checksum says."""
    content = bytearray(packed)
    at = content.index(picture()[:16]) + 100
    content[at] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize("spoiled", [_encrypted, _changed])
async def test_an_entry_that_cannot_be_read_is_alone(whales: LiveServer, spoiled: object) -> None:
    assert callable(spoiled)
    packed = spoiled(archive({"a.png": picture(), "b.png": picture(1)}))
    found = (await whales.client.post(PATHS[0], **batch(packed))).json()
    assert [(one["image_ind"], one["rejection_reason"]) for one in found] == [
        ("a.png", "corrupted_image"),
        ("b.png", None),
    ]


async def test_bombs_are_refused_unread(whales: LiveServer, weights: Path, tmp_path: Path) -> None:
    flat = archive({"a.bmp": bytes(64 << 20)}, compression=zipfile.ZIP_DEFLATED)
    assert len(flat) < 1 << 20
    many = archive((f"{number}.png", b"") for number in range(100_000))
    lying = bytearray(many)  # the count at the end is not what is counted
    lying[-22 + 8 : -22 + 12] = struct.pack("<HH", 1, 1)
    for content, reason in (
        (flat, "times its size"),
        (many, "more than 10000 files"),
        (bytes(lying), "more than 10000 files"),
    ):
        answer = await whales.client.post(PATHS[0], **batch(content))
        assert answer.status_code == 413, answer.text
        assert reason in answer.json()["detail"]
    small = {
        "whales_max_archive_entries": 2,
        "whales_max_unpacked_bytes": 40_000,
        "whales_max_archive_bytes": 1 << 20,
    }
    async with serve(settings_of(tmp_path, manifest(weights), **small)) as live:
        three = archive({f"{number}": b"" for number in range(3)})
        large = archive({"a": bytes(50_000)})
        too_much = archive({"a": bytes(3 << 20)})
        for content in (three, large, too_much):
            answer = await live.client.post(PATHS[0], **batch(content))
            assert (answer.status_code, list(answer.json())) == (413, ["detail"])


async def test_a_picture_may_be_too_large_alone(weights: Path, tmp_path: Path) -> None:
    large = picture(0, "BMP")
    changes = {"max_upload_bytes": len(large) - 1}
    async with serve(settings_of(tmp_path, manifest(weights), **changes)) as live:
        packed = archive({"a.bmp": large, "b.png": picture(1)})
        found = (await live.client.post(PATHS[0], **batch(packed))).json()
        assert [one["rejection_reason"] for one in found] == ["corrupted_image", None]
        answer = await live.client.post("/v1/predict-single", **single(large, "a.bmp", "image/bmp"))
        assert (answer.status_code, list(answer.json())) == (413, ["detail"])


async def test_archives_of_other_writers(whales: LiveServer) -> None:
    """Something before the archive, a comment behind it, an index that is kept in 64 bits."""
    packed = archive({"a.png": picture()})
    with_comment = io.BytesIO(packed)
    with zipfile.ZipFile(with_comment, "a") as written:
        written.comment = b"PK\x05 a comment"
    for content in (b"#!/bin/sh\n" + packed, with_comment.getvalue(), _large(packed)):
        answer = await whales.client.post(PATHS[0], **batch(content))
        assert answer.status_code == 200, answer.text
        assert [one["image_ind"] for one in answer.json()] == ["a.png"]


def _large(packed: bytes) -> bytes:
    """The same archive with the end record that large ones have."""
    body, end = packed[:-22], packed[-22:]
    _, _, _, _, count, size, offset, _ = struct.unpack("<4s4H2LH", end)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(body), 1)
    ends = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return body + record + locator + ends
