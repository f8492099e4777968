"""One picture: the checks in their order, and every key of the answer."""

import zlib

import pytest
from PIL import Image

from tests.compat.whales.making import DETECTION, INDIVIDUALS, SPECIES, picture, single, size_of
from tests.conftest import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

UNRECOGNISED = "Не удалось распознать изображение."  # noqa: RUF001  # it is Russian
PATHS = ("/v1/predict-single", "/predict-single")


@pytest.mark.parametrize("path", PATHS)
async def test_an_accepted_picture_has_every_key_in_order(whales: LiveServer, path: str) -> None:
    content = picture()
    answer = await whales.client.post(path, **single(content, "тест/кит.png"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = answer.json()
    assert tuple(found) == DETECTION
    assert found["image_ind"] == "тест/кит.png"
    assert "тест/кит.png".encode() in answer.content, "texts are not escaped"
    assert found["bbox"] == [0, 0, *size_of(content)]
    assert found["class_animal"] in INDIVIDUALS
    assert found["id_animal"] == SPECIES.get(found["class_animal"], found["class_animal"])
    assert isinstance(found["probability"], float)
    assert (found["is_cetacean"], found["rejected"]) == (True, False)
    assert (found["rejection_reason"], found["mask"]) == (None, None)
    assert 0 < found["cetacean_score"] < 1
    assert found["model_version"] == "small"
    first, *others = found["candidates"]
    assert [one["class_animal"] for one in found["candidates"]] == list(
        dict.fromkeys(one["class_animal"] for one in found["candidates"])
    )
    assert len(found["candidates"]) == 3
    assert first == {name: found[name] for name in ("class_animal", "id_animal", "probability")}
    shares = [one["probability"] for one in found["candidates"]]
    assert shares == sorted(shares, reverse=True)
    assert all(one["probability"] <= first["probability"] for one in others)
    again = await whales.client.post(path, **single(content, "тест/кит.png"))
    assert again.content == answer.content


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "BMP", "GIF", "TIFF"])
async def test_the_format_is_seen_not_told(whales: LiveServer, form: str) -> None:
    content = picture(1, form)
    answer = await whales.client.post(PATHS[0], **single(content, "a", "image/anything"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["bbox"] == [0, 0, *size_of(content)]


async def test_pictures_are_not_turned(whales: LiveServer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = picture(2, "JPEG", exif=exif.tobytes())
    answer = await whales.client.post(PATHS[0], **single(content, "a.jpg", "image/jpeg"))
    assert answer.json()["bbox"] == [0, 0, *size_of(content)]


async def test_there_must_be_a_file(whales: LiveServer) -> None:
    missing = {
        "type": "missing",
        "loc": ["body", "file"],
        "msg": "Field required",
        "input": None,
    }
    for given in (
        {},
        {"json": {"file": "x"}},
        {"content": b"x", "headers": {"content-type": "image/png"}},
        {"files": {"picture": ("a.png", picture(), "image/png")}},
    ):
        answer = await whales.client.post(PATHS[0], **given)
        assert (answer.status_code, answer.json()) == (422, {"detail": [missing]}), given


async def test_a_text_is_no_file(whales: LiveServer) -> None:
    answer = await whales.client.post(
        PATHS[0], data={"file": "x"}, files={"other": ("a", b"x", "image/png")}
    )
    (problem,) = answer.json()["detail"]
    assert (answer.status_code, problem["type"]) == (422, "value_error")
    assert (problem["loc"], problem["input"]) == (["body", "file"], "x")


@pytest.mark.parametrize(
    ("content", "kind", "status", "detail"),
    [
        (picture(), "text/plain", 415, "Только изображения."),
        (picture(), "IMAGE/PNG", 415, "Только изображения."),
        (picture(), "application/octet-stream", 415, "Только изображения."),
        (b"", "text/plain", 415, "Только изображения."),
        (b"", "image/png", 400, "Пустой файл."),
        (b"not a picture", "image/png", 415, UNRECOGNISED),
        (
            b"P6 1 1 255\n\0\0\0",
            "image/x-portable-pixmap",
            415,
            UNRECOGNISED,
        ),
    ],
)
async def test_refusals_come_in_their_order_and_words(
    whales: LiveServer, content: bytes, kind: str, status: int, detail: str
) -> None:
    answer = await whales.client.post(PATHS[0], **single(content, "a", kind))
    assert answer.status_code == status
    assert answer.content == f'{{"detail":"{detail}"}}'.encode()


def _bomb() -> bytes:
    """A PNG that says it has 900 million pixels."""
    content = bytearray(picture())
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("content", [picture()[:-40], picture(0, "JPEG")[:-200], _bomb()])
async def test_a_damaged_image_is_an_answer(whales: LiveServer, content: bytes) -> None:
    before = (await whales.client.get("/v1/drift-stats")).json()["n"]
    answer = await whales.client.post(PATHS[0], **single(content, "broken.png"))
    assert answer.status_code == 200
    assert answer.json() == {
        "image_ind": "broken.png",
        "bbox": [0, 0, 0, 0],
        "class_animal": "",
        "id_animal": "unknown",
        "probability": 0.0,
        "mask": None,
        "is_cetacean": False,
        "cetacean_score": 0.0,
        "rejected": True,
        "rejection_reason": "corrupted_image",
        "model_version": "small",
        "candidates": [],
    }
    assert b'"probability":0.0,' in answer.content
    assert (await whales.client.get("/v1/drift-stats")).json()["n"] == before


async def test_of_several_files_the_last_counts(whales: LiveServer) -> None:
    files = [("file", ("a.txt", b"x", "text/plain")), ("file", ("b.png", picture(), "image/png"))]
    answer = await whales.client.post(PATHS[0], files=files)
    assert (answer.status_code, answer.json()["image_ind"]) == (200, "b.png")


async def test_forms_that_cannot_be_read(whales: LiveServer) -> None:
    for content, kind in (
        (b"--x\r\ncontent-disp", "multipart/form-data; boundary=x"),
        (b"whatever", "multipart/form-data"),
    ):
        answer = await whales.client.post(PATHS[0], content=content, headers={"content-type": kind})
        expected = {"detail": "There was an error parsing the body"}
        assert answer.status_code in (400, 422)
        assert answer.status_code == 422 or answer.json() == expected


async def test_paths_methods_and_slashes(whales: LiveServer) -> None:
    answer = await whales.client.get(PATHS[0])
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == "POST"
    answer = await whales.client.post(f"{PATHS[0]}/", **single(picture()))
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(PATHS[0])


async def test_another_sites_page_cannot_ask(whales: LiveServer) -> None:
    headers = {"origin": "https://elsewhere.example"}
    answer = await whales.client.post(PATHS[0], headers=headers, **single(picture()))
    assert (answer.status_code, list(answer.json())) == (403, ["detail"])
