"""Subjects and batches: what is taken, what is told, lists, changes and deletion."""

from typing import Any

import httpx
import pytest

from tests.compat.haut.world import ABSENT, Haut, base64_text, fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {
    *("id", "name", "birth_date", "biological_sex", "meta", "author_id", "creation_time"),
    *("company", "dataset", "promote_image_id"),
}


async def test_a_new_subject(any_haut: Haut) -> None:
    ours = any_haut.ours
    dataset = await ours.dataset()
    made = await ours.made(f"{dataset}/subjects/", {"name": "My subject name", "zodiac": "x"})
    assert set(made) == KEYS
    assert made["name"] == "My subject name" and made["author_id"] == ours.number
    assert made["birth_date"] is made["biological_sex"] is made["promote_image_id"] is None
    assert made["meta"] == {} and made["creation_time"].endswith("Z")
    assert made["company"] == {"id": ours.company_id, "name": "ours"}
    assert made["dataset"] == {"id": dataset.rpartition("/")[2], "name": "My dataset name"}
    for slash in ("", "/"):
        assert await ours.get(f"{dataset}/subjects/{made['id']}{slash}") == made
    again = await ours.made(f"{dataset}/subjects", {"name": "My subject name"})
    assert again["id"] != made["id"], "names are not unique"


@pytest.mark.parametrize(
    ("birth_date", "told"),
    [
        ("1990-12-31", "1990-12-31"),
        ("1990-12-31T00:00:00", "1990-12-31"),
        ("1990-12-31T23:59:59.999Z", "1990-12-31"),
        ("1990-12-31 08:00:00+02:00", "1990-12-31"),
        ("1990-12-31T01:30:00.123456+02:00", "1990-12-31"),
        ("", None),
        (None, None),
    ],
)
async def test_dates_of_birth(any_haut: Haut, birth_date: str | None, told: str | None) -> None:
    path = await any_haut.ours.subject(birth_date=birth_date)
    assert (await any_haut.ours.get(path))["birth_date"] == told


@pytest.mark.parametrize("sex", [2, "2", "female"])
async def test_sexes(any_haut: Haut, sex: object) -> None:
    path = await any_haut.ours.subject(biological_sex=sex)
    told = (await any_haut.ours.get(path))["biological_sex"]
    assert told == {"id": 2, "name": "Female", "tech_name": "female"}


def nested(depth: int) -> list[Any]:
    """Lists within each other."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "blank"),
    ({"name": None}, "name", "null"),
    ({"name": "x" * 513}, "name", "max_length"),
    ({"birth_date": "31.12.1990"}, "birth_date", "invalid"),
    ({"birth_date": "1990-13-01"}, "birth_date", "invalid"),
    ({"birth_date": 1990}, "birth_date", "invalid"),
    ({"biological_sex": 99}, "biological_sex", "does_not_exist"),
    ({"biological_sex": "x"}, "biological_sex", "does_not_exist"),
    ({"biological_sex": {"id": 1}}, "biological_sex", "invalid"),
    ({"biological_sex": 1.5}, "biological_sex", "invalid"),
    ({"biological_sex": True}, "biological_sex", "invalid"),
    ({"meta": "text"}, "meta", "invalid"),
    ({"meta": [1]}, "meta", "invalid"),
    ({"meta": {"a": nested(240)}}, "meta", "invalid"),
    ({"meta": {"a": "\x00"}}, "meta", "invalid"),
]


@pytest.mark.parametrize(("fields", "attr", "code"), WRONG, ids=range(len(WRONG)))
async def test_a_subject_that_is_none(
    any_haut: Haut, fields: dict[str, Any], attr: str, code: str
) -> None:
    ours = any_haut.ours
    path = await ours.subject()
    subjects = path.rpartition("/")[0]
    for answer in (
        await ours.ask("POST", f"{subjects}/", json={"name": "x"} | fields),
        await ours.ask("PATCH", path, json=fields),
    ):
        error = fault(answer, 400)
        assert (error["attr"], error["code"]) == (attr, code)
    assert fault(await ours.ask("POST", subjects, json={}), 400)["code"] == "required"


async def test_a_name_may_be_a_number(any_haut: Haut) -> None:
    path = await any_haut.ours.subject(name=4711)
    assert (await any_haut.ours.get(path))["name"] == "4711"


async def test_a_name_that_no_database_keeps(any_haut: Haut) -> None:
    dataset = await any_haut.ours.dataset()
    body = {"name": "a\x00b"}
    error = fault(await any_haut.ours.ask("POST", f"{dataset}/subjects/", json=body), 400)
    assert error["attr"] == "name"


async def test_a_change_names_what_changes(any_haut: Haut) -> None:
    ours = any_haut.ours
    path = await ours.subject(birth_date="1990-12-31", biological_sex=1, meta={"a": [1, None]})
    before = await ours.get(path)
    answer = await ours.ask("PATCH", f"{path}/", json={"name": "another"})
    assert answer.status_code == 200 and answer.json() == before | {"name": "another"}
    cleared = {"birth_date": None, "biological_sex": None, "meta": None}
    answer = await ours.ask("PATCH", path, json=cleared)
    assert answer.json() == before | cleared | {"name": "another", "meta": {}}
    answer = await ours.ask("PATCH", path)
    assert answer.status_code == 200


async def test_a_list_is_turned_by_pages(any_haut: Haut) -> None:
    ours = any_haut.ours
    dataset = await ours.dataset()
    names = [f"subject {number}" for number in range(5)]
    for name in names:
        await ours.subject(dataset, name=name)
    found: list[str] = []
    url: str | None = f"{any_haut.live.url}{dataset}/subjects/?page_size=2&q=subject"
    pages = 0
    while url is not None:
        page = (await ours.ask("GET", url)).json()
        assert set(page) == {"count", "next", "previous", "results"} and page["count"] == 5
        found += [one["name"] for one in page["results"]]
        pages += 1
        if url := page["next"]:
            # As the client called it, with all that it asked for.
            assert url.startswith(f"{any_haut.live.url}{dataset}/subjects/?")
            query = dict(httpx.URL(url).params)
            assert query == {"page_size": "2", "q": "subject", "page": str(pages + 1)}
    assert (pages, found) == (3, names)
    last = await ours.get(f"{dataset}/subjects", page=3, page_size=2)
    assert last["next"] is None and httpx.URL(last["previous"]).params["page"] == "2"
    for page in ("4", "0", "-1", "x", "99999999999999999999", "1.0"):
        answer = await ours.ask("GET", f"{dataset}/subjects/?page={page}&page_size=2")
        assert fault(answer, 404)["code"] == "not_found"
    for size in ("0", "x", "-3", ""):  # what cannot be used is not asked for
        assert len((await ours.get(f"{dataset}/subjects/?page_size={size}"))["results"]) == 5
    assert (await ours.get(f"{dataset}/subjects/?page_size=99999999"))["count"] == 5
    found_one = await ours.get(f"{dataset}/subjects/", q="JECT 3")
    assert [one["name"] for one in found_one["results"]] == ["subject 3"]
    nothing = await ours.get(f"{dataset}/subjects/", q="nobody")
    assert nothing == {"count": 0, "next": None, "previous": None, "results": []}
    backwards = await ours.get(f"{dataset}/subjects/", ordering="-name", page_size=1)
    assert backwards["results"][0]["name"] == "subject 4"


async def test_the_address_of_the_next_page_has_the_host_of_the_client(haut: Haut) -> None:
    ours = haut.ours
    dataset = await ours.dataset()
    for _ in range(2):
        await ours.subject(dataset)
    headers = {"Host": "skin.example:8443"}
    answer = await ours.ask("GET", f"{dataset}/subjects/?page_size=1", headers=headers)
    assert answer.json()["next"].startswith(f"http://skin.example:8443{dataset}/subjects/?")
    # A token stands in no address that is told.
    answer = await haut.client.get(
        f"{dataset}/subjects/", params={"page_size": 1, "token": ours.token}
    )
    assert ours.token not in answer.text and answer.json()["next"]


async def test_deletion(any_haut: Haut) -> None:
    ours = any_haut.ours
    image = await ours.image()
    subject = image.partition("/batches/")[0]
    answer = await ours.ask("DELETE", f"{subject}/")
    assert (answer.status_code, answer.json()) == (200, {})
    for path in (subject, f"{subject}/batches", image):
        assert fault(await ours.ask("GET", path), 404)["code"] == "not_found"
    # Nothing of it is taken any more, and this is said as 400.
    for path in (image.rpartition("/")[0], f"{subject}/images"):
        answer = await ours.ask("POST", path, json={"b64data": base64_text()})
        assert fault(answer, 400)["code"] == "does_not_exist"
    assert fault(await ours.ask("POST", f"{subject}/batches/"), 404)["code"] == "not_found"
    assert fault(await ours.ask("DELETE", subject), 404)["code"] == "not_found"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_deleting_several_by_a_body(any_haut: Haut, slash: str) -> None:
    ours = any_haut.ours
    dataset = await ours.dataset()
    paths = [await ours.subject(dataset) for _ in range(3)]
    ids = [path.rpartition("/")[2] for path in paths]
    path = f"{dataset}/subjects/delete{slash}"
    body = {"subjects_ids": ids[:2]}
    answer = await ours.ask("DELETE", path, json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    listed = await ours.get(f"{dataset}/subjects/")
    assert [one["id"] for one in listed["results"]] == ids[2:]
    for wrong, attr, code in (
        ({}, "subjects_ids", "required"),
        ({"subjects_ids": None}, "subjects_ids", "null"),
        ({"subjects_ids": "x"}, "subjects_ids", "invalid"),
        ({"subjects_ids": ["x"]}, "subjects_ids.0", "invalid"),
        ({"subjects_ids": [ABSENT]}, "subjects_ids", "does_not_exist"),
        ({"subjects_ids": [ids[2], ids[0]]}, "subjects_ids", "does_not_exist"),
    ):
        error = fault(await ours.ask("DELETE", path, json=wrong), 400)
        assert (error["attr"], error["code"]) == (attr, code), wrong
    # All of them or none.
    assert (await ours.get(f"{dataset}/subjects/"))["count"] == 1
    theirs = (await any_haut.theirs.subject()).rpartition("/")[2]
    fault(await ours.ask("DELETE", path, json={"subjects_ids": [theirs]}), 400)
    assert (await ours.ask("DELETE", path, json={"subjects_ids": []})).status_code == 200


MOMENTS = [
    ("2023-04-17T16:10:17.350Z", "2023-04-17T16:10:17.350000Z"),
    ("2023-04-17T16:10:17.350123", "2023-04-17T16:10:17.350123Z"),
    ("2023-04-17T16:10:17", "2023-04-17T16:10:17.000000Z"),
    ("2023-04-17 16:10:17", "2023-04-17T16:10:17.000000Z"),
    ("2023-04-17T18:10:17+02:00", "2023-04-17T16:10:17.000000Z"),
    ("2023-04-17T12:10:17.5-0400", "2023-04-17T16:10:17.500000Z"),
    ("2023-04-17", "2023-04-17T00:00:00.000000Z"),
]


@pytest.mark.parametrize(("sent", "told"), MOMENTS)
async def test_the_time_of_a_batch(any_haut: Haut, sent: str, told: str) -> None:
    ours = any_haut.ours
    batch = await ours.batch(creation_time=sent)
    assert (await ours.get(batch))["creation_time"] == told
    image = await ours.get(await ours.image(batch))
    assert image["creation_time"] == told, "an image is as old as its batch"


@pytest.mark.parametrize(
    "sent", ["yesterday", "17.04.2023", "", None, 17, [], "0001-01-01T00:00:00+14:00"]
)
async def test_a_time_that_cannot_be_read_is_left_out(any_haut: Haut, sent: object) -> None:
    ours = any_haut.ours
    subject = await ours.subject()
    made = await ours.made(f"{subject}/batches/", {"creation_time": sent})
    later = await ours.made(f"{subject}/batches/")
    assert made["creation_time"] <= later["creation_time"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"json": {}},
        {"content": b"", "headers": {"Content-Type": "application/json"}},
        {"content": b"  ", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"content": b"{}"},
        {"content": b"{}", "headers": {"Content-Type": "application/json; charset=utf-8"}},
        {"json": {"creation_time": None, "whatever": 1}},
    ],
    ids=str,
)
async def test_a_batch_needs_no_body(any_haut: Haut, request_: dict[str, Any]) -> None:
    ours = any_haut.ours
    subject = await ours.subject()
    for slash in ("", "/"):
        answer = await ours.ask("POST", f"{subject}/batches{slash}", **request_)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert {"id", "subject_id", "creation_time"} <= set(made)
        assert made["subject_id"] == subject.rpartition("/")[2]


async def test_batches_are_listed_and_deleted(any_haut: Haut) -> None:
    ours = any_haut.ours
    subject = await ours.subject()
    old = await ours.batch(subject, creation_time="2020-01-01")
    new = await ours.batch(subject)
    ids = [path.rpartition("/")[2] for path in (old, new)]
    listed = await ours.get(f"{subject}/batches/")
    assert listed["count"] == 2 and [one["id"] for one in listed["results"]] == ids
    newest = await ours.get(f"{subject}/batches/", ordering="-creation_time")
    assert [one["id"] for one in newest["results"]] == ids[::-1]
    image = await ours.image(old)
    answer = await ours.ask("DELETE", f"{old}/")
    assert (answer.status_code, answer.json()) == (200, {})
    assert fault(await ours.ask("GET", image), 404)["code"] == "not_found"
    assert fault(await ours.ask("DELETE", old), 404)["code"] == "not_found"
    assert [one["id"] for one in (await ours.get(f"{subject}/batches"))["results"]] == ids[1:]


async def test_the_newest_image_stands_for_its_subject(any_haut: Haut) -> None:
    ours = any_haut.ours
    batch = await ours.batch()
    subject = batch.partition("/batches/")[0]
    for _ in range(2):
        image = await ours.image(batch)
        identity = image.rpartition("/")[2]
        assert (await ours.get(subject))["promote_image_id"] == identity
    await ours.ask("DELETE", image)
    assert (await ours.get(subject))["promote_image_id"] not in (None, identity)
