"""Images: what is taken as base64, where it goes, and the files that are given back."""

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.compat.haut.world import ABSENT, PICTURE, Haut, base64_text, fault
from tests.pictures import alpha_png, noise_jpeg, solid_png, truncated

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {
    *("id", "image_batch_id", "subject_id", "name", "side", "light", "image_type", "side_name"),
    *("side_tech_name", "light_name", "light_tech_name", "image_type_name"),
    *("image_type_tech_name", "creation_time", "quality_score", "quality_feedback"),
    *("quality_result", "quality_issues", "problems", "stage_number", "stage_step_number"),
    "urls",
}
TEXT = base64_text()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_new_image(any_haut: Haut, slash: str) -> None:
    ours = any_haut.ours
    batch = await ours.batch()
    body = {"side_id": 1, "light_id": 1, "b64data": TEXT, "unknown": {}}
    made = await ours.made(f"{batch}/images{slash}", body)
    assert set(made) == KEYS
    assert made["image_batch_id"] == batch.rpartition("/")[2]
    assert made["side"] == {"id": 1, "name": "Front", "tech_name": "front"}
    assert made["light"] == {"id": 1, "name": "Regular", "tech_name": "regular"}
    assert made["image_type"] == {"id": 1, "name": "Selfie", "tech_name": "selfie"}
    assert (made["side_tech_name"], made["light_tech_name"]) == ("front", "regular")
    assert made["image_type_tech_name"] == "selfie" and made["quality_issues"] == []
    path = f"{batch}/images/{made['id']}"
    assert (await ours.get(f"{path}{slash}")) == made
    listed = await ours.get(f"{batch}/images{slash}")
    assert (listed["count"], listed["results"]) == (1, [made])
    # The original's address carries its own permission.
    plain = httpx.AsyncClient()
    async with plain:
        file = await plain.get(made["urls"]["original"])
    assert (file.status_code, file.content) == (200, PICTURE)


FORMS: list[str] = [
    TEXT,
    f"data:image/jpeg;base64,{TEXT}",
    f"DATA:image/jpeg;name=a.jpg;BASE64,{TEXT}",
    "\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76)),
    "\r\n".join(TEXT[at : at + 64] for at in range(0, len(TEXT), 64)) + "\r\n",
    f"  {TEXT}\n",
]


@pytest.mark.parametrize("text", FORMS, ids=range(len(FORMS)))
async def test_base64_as_clients_write_it(any_haut: Haut, text: str) -> None:
    ours = any_haut.ours
    image = await ours.image(b64data=text)
    file = await ours.ask("GET", f"/images/{image.rpartition('/')[2]}.jpg")
    assert file.content == PICTURE


@pytest.mark.parametrize(
    ("side", "name"), [(1, "front"), (2, "right"), (3, "left"), ("2", "right")]
)
async def test_sides(any_haut: Haut, side: object, name: str) -> None:
    ours = any_haut.ours
    made = await ours.get(await ours.image(side_id=side))
    assert made["side_tech_name"] == name and made["side"]["id"] == int(str(side))


async def test_side_and_light_have_defaults(any_haut: Haut) -> None:
    ours = any_haut.ours
    for fields in ({}, {"side_id": None, "light_id": None, "name": None}):
        made = await ours.get(await ours.image(**fields))
        assert (made["side"]["id"], made["light"]["id"]) == (1, 1)


async def test_an_image_has_the_name_it_is_given(any_haut: Haut) -> None:
    made = await any_haut.ours.get(await any_haut.ours.image(name="C:\\photos\\Ä face.jpg"))
    assert made["name"] == "Ä face.jpg"


async def test_several_of_one_side_in_a_batch_of_selfies(any_haut: Haut) -> None:
    batch = await any_haut.ours.batch()
    for side in (1, 1, 2, 3):
        await any_haut.ours.image(batch, side_id=side)
    assert (await any_haut.ours.get(f"{batch}/images/"))["count"] == 4


@pytest.mark.parametrize("image_type_id", [2, 3])
async def test_one_image_where_a_batch_has_one(any_haut: Haut, image_type_id: int) -> None:
    ours = any_haut.ours
    subject = await ours.subject(await ours.dataset(image_type_id=image_type_id))
    batch = await ours.batch(subject)
    await ours.image(batch)
    answer = await ours.ask("POST", f"{batch}/images/", json={"b64data": TEXT})
    fault(answer, 400)
    assert (await ours.get(f"{batch}/images/"))["count"] == 1
    # Another batch takes another.
    await ours.image(await ours.batch(subject))


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, "b64data", "required"),
    ({"b64data": None}, "b64data", "null"),
    ({"b64data": ""}, "b64data", "blank"),
    ({"b64data": [1]}, "b64data", "invalid"),
    ({"b64data": "not base64!"}, "b64data", "invalid"),
    ({"b64data": TEXT[:-3]}, "b64data", "invalid"),
    ({"b64data": f"data:image/jpeg,{TEXT}"}, "b64data", "invalid"),
    ({"b64data": base64.b64encode(b"not a picture").decode()}, "b64data", "invalid"),
    ({"b64data": base64.b64encode(truncated(noise_jpeg())).decode()}, "b64data", "invalid"),
    ({"b64data": base64.b64encode(b"%PDF-1.7\n").decode()}, "b64data", "invalid"),
    ({"b64data": TEXT, "side_id": 9}, "side_id", "does_not_exist"),
    ({"b64data": TEXT, "side_id": "front"}, "side_id", "invalid"),
    ({"b64data": TEXT, "light_id": 2}, "light_id", "does_not_exist"),
]


@pytest.mark.parametrize(("body", "attr", "code"), WRONG, ids=lambda value: str(value)[:60])
async def test_an_image_that_is_none(
    any_haut: Haut, body: dict[str, Any], attr: str | None, code: str
) -> None:
    """By either route, and nothing is left behind."""
    ours = any_haut.ours
    batch = await ours.batch()
    subject = batch.partition("/batches/")[0]
    for path in (f"{batch}/images/", f"{subject}/images/"):
        error = fault(await ours.ask("POST", path, json=body), 400)
        assert (error["attr"], error["code"]) == (attr, code)
    assert (await ours.get(f"{batch}/images/"))["count"] == 0
    assert (await ours.get(f"{subject}/batches/"))["count"] == 1


async def test_a_side_that_the_type_lacks(any_haut: Haut) -> None:
    ours = any_haut.ours
    batch = await ours.batch(await ours.subject(await ours.dataset(image_type_id=2)))
    answer = await ours.ask("POST", f"{batch}/images/", json={"b64data": TEXT, "side_id": 2})
    assert fault(answer, 400)["attr"] == "side_id"


async def test_a_dataset_without_a_type_takes_sides_of_selfies(any_haut: Haut) -> None:
    ours = any_haut.ours
    batch = await ours.batch(await ours.subject(await ours.dataset(image_type_id=None)))
    made = await ours.get(await ours.image(batch, side_id=3))
    assert made["side"]["id"] == 3 and made["image_type"] is None


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_image_that_brings_its_own_batch(any_haut: Haut, slash: str) -> None:
    ours = any_haut.ours
    subject = await ours.subject()
    body = {"b64data": TEXT, "creation_time": "2023-04-17T16:10:17"}
    made = await ours.made(f"{subject}/images{slash}", body)
    batches = await ours.get(f"{subject}/batches/")
    assert [one["id"] for one in batches["results"]] == [made["image_batch_id"]]
    path = f"{subject}/batches/{made['image_batch_id']}/images/{made['id']}/"
    assert await ours.get(path) == made
    assert made["creation_time"] == "2023-04-17T16:10:17.000000Z"
    await ours.made(f"{subject}/images", {"b64data": TEXT})
    assert (await ours.get(f"{subject}/batches/"))["count"] == 2


async def test_the_chain_of_ids(any_haut: Haut) -> None:
    """Each within the one before it, or there is none of it."""
    ours = any_haut.ours
    one, other = await ours.image(), await ours.image()
    theirs = await any_haut.theirs.image()

    def parts(path: str) -> list[str]:
        return path.split("/")

    for place, name in ((6, "datasets"), (8, "subjects"), (10, "batches"), (12, "images")):
        assert parts(one)[place - 1] == name
        for foreign in (parts(other)[place], parts(theirs)[place], ABSENT, "x", "%00"):
            wrong = parts(one)
            wrong[place] = foreign
            for path in ("/".join(wrong), "/".join([*wrong, ""])):
                answer = await ours.ask("GET", path)
                assert fault(answer, 404)["code"] == "not_found", path
            if name != "images":
                path = "/".join(wrong[:-1])
                answer = await ours.ask("POST", path, json={"b64data": TEXT})
                # Of a subject that is nowhere nothing is taken, which is said as 400.
                is_gone = name == "subjects" and foreign != parts(other)[place]
                fault(answer, 400 if is_gone else 404)
    assert (await ours.ask("GET", one)).status_code == 200
    for method in ("GET", "DELETE"):
        answer = await any_haut.theirs.ask(method, one)
        assert fault(answer, 403)["code"] == "permission_denied"


async def test_deletion(any_haut: Haut) -> None:
    ours = any_haut.ours
    image = await ours.image()
    answer = await ours.ask("DELETE", f"{image}/")
    assert (answer.status_code, answer.json()) == (200, {})
    for path in (image, f"/images/{image.rpartition('/')[2]}.jpg"):
        assert fault(await ours.ask("GET", path), 404)["code"] == "not_found"
    assert (await ours.get(image.rpartition("/")[0]))["count"] == 0


async def test_files_are_jpeg(any_haut: Haut) -> None:
    ours = any_haut.ours
    for picture in (noise_jpeg(), solid_png(40, 30), alpha_png()):
        image = await ours.image(b64data=base64_text(picture))
        path = f"/images/{image.rpartition('/')[2]}.jpg"
        answer = await any_haut.client.get(path, params={"token": ours.token})
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        shown, sent = (Image.open(io.BytesIO(file)) for file in (answer.content, picture))
        assert shown.format == "JPEG" and shown.size == sent.size
        head = await ours.ask("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")


async def test_files_are_for_those_who_may_see_them(any_haut: Haut) -> None:
    image = await any_haut.ours.image()
    path = f"/images/{image.rpartition('/')[2]}.jpg"
    assert fault(await any_haut.client.get(path), 401)["code"] == "not_authenticated"
    answer = await any_haut.client.get(path, params={"token": "nonsense"})
    assert fault(answer, 401)["code"] == "authentication_failed"
    # To others it is as if it were not there.
    answers = [
        await any_haut.theirs.ask("GET", path),
        await any_haut.ours.ask("GET", f"/images/{ABSENT}.jpg"),
        await any_haut.ours.ask("GET", "/images/nonsense.jpg"),
    ]
    assert len({answer.text for answer in answers}) == 1
    for answer in answers:
        assert fault(answer, 404)["code"] == "not_found"


async def test_a_file_that_is_gone(any_haut: Haut) -> None:
    """The record stays, and says that there is no file any more."""
    ours = any_haut.ours
    image = await ours.image()
    identity = image.rpartition("/")[2]
    subject = image.partition("/batches/")[0]
    use_cases = any_haut.parts.use_cases
    principal = await use_cases.access.authenticate(ours.token)
    await use_cases.subjects.delete_files(
        principal, subject.split("/")[6], [subject.rpartition("/")[2]]
    )
    made = await ours.get(image)
    assert made["id"] == identity and made["urls"] == {"original": None}
    answer = await ours.ask("GET", f"/images/{identity}.jpg")
    assert fault(answer, 404)["code"] == "not_found"
