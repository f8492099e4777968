"""Datasets: what is taken, what is told, and that changes are partial by whatever method."""

from typing import Any

import pytest

from tests.compat.haut.world import ABSENT, Haut, fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {
    *("id", "company_id", "name", "creation_time", "image_type_id", "image_type"),
    *("image_type_name", "image_type_tech_name", "expire_images_after_days"),
    *("expire_metadata_after_days", "clean_images_as_soon_as_ready", "custom_branding"),
    "connected_applications",
}


async def test_a_new_dataset(any_haut: Haut) -> None:
    ours = any_haut.ours
    body = {"name": "  My dataset name ", "image_type_id": 1, "whatever": [1]}
    made = await ours.made(f"{ours.company}/datasets/", body)
    assert set(made) == KEYS
    assert (made["name"], made["company_id"]) == ("My dataset name", ours.company_id)
    assert (made["image_type_id"], made["image_type_tech_name"]) == (1, "selfie")
    assert (made["image_type"]["id"], made["image_type_name"]) == (1, "Selfie")
    assert [side["id"] for side in made["image_type"]["sides"]] == [1, 2, 3]
    assert made["expire_images_after_days"] is made["expire_metadata_after_days"] is None
    assert made["clean_images_as_soon_as_ready"] is False and made["custom_branding"] is None
    assert made["connected_applications"] == [] and made["creation_time"].endswith("Z")
    for slash in ("", "/"):
        assert await ours.get(f"{ours.company}/datasets/{made['id']}{slash}") == made


async def test_a_dataset_without_a_type(any_haut: Haut) -> None:
    ours = any_haut.ours
    for body in ({"name": "x"}, {"name": "x", "image_type_id": None}):
        made = await ours.made(f"{ours.company}/datasets", body)
        assert made["image_type_id"] is made["image_type"] is made["image_type_name"] is None


@pytest.mark.parametrize("spelling", ["expire_metadata_after_days", "expire_metadata_after_day"])
async def test_retention_is_set_and_told(any_haut: Haut, spelling: str) -> None:
    """The guide spells one field without its last letter; it is told with it."""
    ours = any_haut.ours
    body = {
        "name": "kept for a while",
        "expire_images_after_days": 30,
        spelling: "365",
        "clean_images_as_soon_as_ready": True,
        "custom_branding": 7,
    }
    made = await ours.made(f"{ours.company}/datasets/", body)
    assert made["expire_images_after_days"] == 30
    assert made["expire_metadata_after_days"] == 365
    assert made["clean_images_as_soon_as_ready"] is True and made["custom_branding"] == 7
    assert "expire_metadata_after_day" not in made
    changed = await ours.ask("PUT", f"{ours.company}/datasets/{made['id']}/", json={spelling: None})
    assert changed.json() == made | {"expire_metadata_after_days": None}


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_change_names_what_changes(any_haut: Haut, method: str, slash: str) -> None:
    ours = any_haut.ours
    path = await ours.dataset(expire_images_after_days=3, custom_branding=5)
    before = await ours.get(path)

    async def change(**fields: Any) -> dict[str, Any]:
        answer = await ours.ask(method, f"{path}{slash}", json=fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert await change(name="another") == before | {"name": "another"}
    assert (await change(expire_images_after_days=None))["expire_images_after_days"] is None
    after = await change(image_type_id=2, unknown=1)
    assert (after["image_type_tech_name"], after["custom_branding"]) == ("skin", 5)
    assert (await change(image_type_id=None))["image_type"] is None
    assert await change() == await ours.get(path)
    # Nothing at all is nothing changed.
    answer = await ours.ask(method, f"{path}{slash}")
    assert answer.status_code == 200 and answer.json() == await ours.get(path)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "blank"),
    ({"name": " \n"}, "name", "blank"),
    ({"name": None}, "name", "null"),
    ({"name": ["x"]}, "name", "invalid"),
    ({"name": "x" * 513}, "name", "max_length"),
    ({"name": "a\x00b"}, "name", "invalid"),
    ({"image_type_id": 99}, "image_type_id", "does_not_exist"),
    ({"image_type_id": 2**70}, "image_type_id", "does_not_exist"),
    ({"image_type_id": "selfie"}, "image_type_id", "invalid"),
    ({"expire_images_after_days": 0}, "expire_images_after_days", "min_value"),
    ({"expire_images_after_days": -1}, "expire_images_after_days", "min_value"),
    ({"expire_images_after_days": 366}, "expire_images_after_days", "max_value"),
    ({"expire_images_after_days": 1.5}, "expire_images_after_days", "invalid"),
    ({"expire_metadata_after_days": 0}, "expire_metadata_after_days", "min_value"),
    ({"expire_metadata_after_day": 366}, "expire_metadata_after_day", "max_value"),
    ({"clean_images_as_soon_as_ready": None}, "clean_images_as_soon_as_ready", "null"),
    ({"clean_images_as_soon_as_ready": "maybe"}, "clean_images_as_soon_as_ready", "invalid"),
    ({"custom_branding": 2**31}, "custom_branding", "max_value"),
]


@pytest.mark.parametrize(("fields", "attr", "code"), WRONG, ids=str)
async def test_a_dataset_that_is_none(
    any_haut: Haut, fields: dict[str, Any], attr: str, code: str
) -> None:
    ours = any_haut.ours
    answer = await ours.ask("POST", f"{ours.company}/datasets/", json={"name": "x"} | fields)
    if fields == {"image_type_id": 2**70}:  # a number that JSON readers need not know
        assert answer.status_code == 400
        return
    error = fault(answer, 400)
    assert (error["attr"], error["code"]) == (attr, code)
    path = await ours.dataset()
    before = await ours.get(path)
    error = fault(await ours.ask("PATCH", path, json=fields), 400)
    assert (error["attr"], error["code"]) == (attr, code)
    assert await ours.get(path) == before


async def test_a_name_is_required_and_as_long_as_documented(any_haut: Haut) -> None:
    ours = any_haut.ours
    requests: list[dict[str, Any]] = [{"json": {}}, {}]
    for request in requests:
        error = fault(await ours.ask("POST", f"{ours.company}/datasets/", **request), 400)
        assert (error["attr"], error["code"]) == ("name", "required")
    path = await ours.dataset(name="ä" * 512)
    assert len((await ours.get(path))["name"]) == 512


async def test_every_fault_is_told(haut: Haut) -> None:
    body = {"expire_images_after_days": 0, "custom_branding": "x"}
    answer = await haut.ours.ask("POST", f"{haut.ours.company}/datasets/", json=body)
    attrs = {error["attr"] for error in answer.json()["errors"]}
    assert attrs == {"name", "expire_images_after_days", "custom_branding"}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("which", ["absent", "theirs", "nonsense", "deleted"])
async def test_a_dataset_that_is_not_there(any_haut: Haut, method: str, which: str) -> None:
    ours = any_haut.ours
    identity = {"absent": ABSENT, "nonsense": "x"}.get(which)
    if which == "theirs":
        identity = (await any_haut.theirs.dataset()).rpartition("/")[2]
    if which == "deleted":
        path = await ours.dataset()
        answer = await ours.ask("DELETE", f"{path}/")
        assert (answer.status_code, answer.json()) == (200, {})
        identity = path.rpartition("/")[2]
    answer = await ours.ask(method, f"{ours.company}/datasets/{identity}/", json={"name": "y"})
    assert fault(answer, 404)["code"] == "not_found"


async def test_deleting_a_dataset_takes_everything_with_it(any_haut: Haut) -> None:
    ours = any_haut.ours
    image = await ours.image()
    dataset = image.partition("/subjects/")[0]
    file = f"/images/{image.rpartition('/')[2]}.jpg"
    assert (await ours.ask("GET", file)).status_code == 200
    answer = await ours.ask("DELETE", dataset)
    assert (answer.status_code, answer.json()) == (200, {})
    parts = image.removeprefix(dataset).strip("/").split("/")
    for path in (
        *(f"{dataset}/{'/'.join(parts[:count])}" for count in range(1, len(parts) + 1)),
        file,
    ):
        assert fault(await ours.ask("GET", path), 404)["code"] == "not_found"
    listed = await ours.get(f"{ours.company}/datasets/short_list/")
    assert dataset.rpartition("/")[2] not in [one["id"] for one in listed]


async def test_lists(any_haut: Haut) -> None:
    person = await any_haut.person("lists@example.com", "lists")
    for name in ("Summer skin", "winter", "SUMMER evening", "50% off"):
        await person.dataset(name=name)
    listed = await person.get(f"{person.company}/datasets/")
    assert listed["count"] == 4 and set(listed["results"][0]) == KEYS
    assert [one["name"] for one in listed["results"]] == [
        *("Summer skin", "winter", "SUMMER evening", "50% off")
    ]

    async def short(**query: str) -> list[str]:
        found = await person.get(f"{person.company}/datasets/short_list/", **query)
        assert all({"id", "name"} <= set(one) for one in found)
        return [one["name"] for one in found]

    assert len(await short()) == 4
    assert await short(q="summer") == ["Summer skin", "SUMMER evening"]
    assert await short(q="0%") == ["50% off"], "no pattern, but a part of the name"
    assert await short(q="nothing") == []
    found = await person.get(f"{person.company}/datasets/", q="SUMMER", ordering="-name")
    assert found["count"] == 2


async def test_a_list_in_an_order(any_haut: Haut) -> None:
    person = await any_haut.person("ordered@example.com", "ordered")
    for name in ("b", "a", "c"):
        await person.dataset(name=name)

    async def names(ordering: str) -> str:
        found = await person.get(f"{person.company}/datasets/", ordering=ordering)
        return "".join(one["name"] for one in found["results"])

    assert await names("name") == "abc" and await names("-name") == "cba"
    assert await names("creation_time") == "bac" and await names("-creation_time") == "cab"
    assert await names("nonsense") == "bac", "an order that is none is none"
