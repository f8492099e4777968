"""Applications and runs: what may be attached, by number and by name, and what cannot."""

import json

import pytest

from opsin.core.access import Principal
from opsin.core.applications.applications import NewApplication
from opsin.core.contract import Step
from tests.compat.haut.flow import (
    ALL,
    DETECTOR,
    REDNESS,
    V1,
    V2,
    Measured,
    attach,
    by_family,
    id_of,
    large_portrait,
    results,
)
from tests.compat.haut.world import ABSENT, base64_text, fault

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_every_company_has_both_applications(world: Measured) -> None:
    for person in (world.person, world.haut.theirs):
        page = await person.get(f"{person.company}/applications/")
        assert set(page) == {"count", "next", "previous", "results"}
        assert [one["id"] for one in page["results"][:2]] == [V2, V1]
        first = page["results"][0]
        assert first["tech_name"] == "face_skin_metrics_2.0" and first["is_enabled"] is True
        assert first["image_type"]["id"] == 1
        assert {DETECTOR, REDNESS} <= {one["id"] for one in first["algorithms_versions"]}
        assert set(first["algorithms_versions"][0]) == {
            "id",
            "name",
            "tech_name",
            "html_description",
        }
    found = await world.person.get(f"{world.person.company}/applications/", q="METRICS 1")
    assert [one["id"] for one in found["results"]] == [V1]
    page = await world.person.get(f"{world.person.company}/applications/", page_size=1, page=2)
    assert [one["id"] for one in page["results"]] == [V1] and page["previous"] and page["next"]


async def test_attaching_once_more_keeps_the_run_and_changes_its_algorithms(
    world: Measured,
) -> None:
    person = world.person
    dataset = await person.dataset()
    first = await attach(person, dataset)
    assert set(first) == {
        "id",
        "application_id",
        "dataset_id",
        "enabled_algorithms",
        "is_enabled",
        "creation_time",
        "author_id",
    }
    assert len(first["enabled_algorithms"]) == ALL and first["author_id"] == person.number
    again = await attach(person, dataset, enabled_algorithms=[REDNESS, DETECTOR])
    assert (again["id"], again["enabled_algorithms"]) == (first["id"], [REDNESS, DETECTOR])
    image = await person.image(
        await person.batch(await person.subject(dataset)), b64data=base64_text(large_portrait())
    )
    await results(person, image, 2)
    families = by_family(await person.get(f"{image}/results/"))
    assert set(families) == {"face_detector", "redness"}
    listed = await person.get(f"{person.company}/applications/{V2}/runs/")
    assert [one for one in listed if one["id"] == first["id"]] == [again]
    shown = (await person.get(f"{dataset}/"))["connected_applications"]
    assert [one["id"] for one in shown] == [V2]


async def test_without_the_detector_what_needs_it_fails(world: Measured) -> None:
    person = world.person
    dataset = await person.dataset()
    await attach(person, dataset, enabled_algorithms=[str(REDNESS)])
    image = await person.image(await person.batch(await person.subject(dataset)))
    (one,) = await results(person, image, 1)
    assert (one["is_ok"], one["algorithm_version_id"]) == (False, REDNESS)
    assert one["result"] == {"error": "An algorithm that this one needs is not enabled"}


async def test_the_first_attachment_measures_what_is_there(world: Measured) -> None:
    person = world.person
    dataset = await person.dataset()
    image = await person.image(await person.batch(await person.subject(dataset)))
    await attach(person, dataset, enabled_algorithms=[DETECTOR, REDNESS])
    found = by_family(await results(person, image, 2))
    assert found["face_detector"]["is_ok"] and found["face_detector"]["result"]["bbox"] is None
    assert found["redness"]["result"] == {"error": "No face detected"}


async def test_the_deprecated_application_gives_bare_numbers(world: Measured) -> None:
    person = world.person
    dataset = await person.dataset()
    await attach(person, dataset, V1)
    picture = base64_text(large_portrait())
    image = await person.image(await person.batch(await person.subject(dataset)), b64data=picture)
    bare = by_family(await results(person, image))
    full = by_family(await person.get(f"{world.image}/results/"))
    for family, one in bare.items():
        if family != "face_detector":
            main = full[family]["result"]["area_results"][0]["main_metric"]
            assert (one["is_ok"], one["result"]) == (True, main["value"])


async def test_what_cannot_be_attached(world: Measured) -> None:
    person, other = world.person, world.haut.theirs
    theirs = id_of(await other.dataset())
    runs = f"{person.company}/applications/{V2}/runs/"
    mine = id_of(world.dataset)
    for body, attr, code in (
        ({}, "dataset_id", "required"),
        ({"dataset_id": ABSENT}, "dataset_id", "invalid"),
        ({"dataset_id": theirs}, "dataset_id", "invalid"),
        ({"dataset_id": "no id"}, "dataset_id", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": [31]}, "enabled_algorithms", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": []}, "enabled_algorithms", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": 30}, "enabled_algorithms", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": [2**62]}, "enabled_algorithms", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": [10**30]}, "enabled_algorithms.0", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": ["x"]}, "enabled_algorithms.0", "invalid"),
        ({"dataset_id": mine, "enabled_algorithms": [30, True]}, "enabled_algorithms.1", "invalid"),
    ):
        told = fault(await person.ask("POST", runs, json=body), 400)
        assert (told["attr"], told["code"]) == (attr, code), body
    absent = f"{person.company}/applications/{ABSENT}/runs/"
    fault(await person.ask("POST", absent, json={"dataset_id": mine}), 404)
    fault(await person.ask("GET", absent), 404)
    fault(await other.ask("POST", runs, json={"dataset_id": mine}), 403)
    skin = id_of(await person.dataset(image_type_id=2))
    told = fault(await person.ask("POST", runs, json={"dataset_id": skin}), 400)
    assert told["attr"] == "dataset_id"


async def test_attaching_by_tech_names(world: Measured) -> None:
    person = world.person
    path = f"{person.company}/applications/face_skin_metrics_2.0/attach-to-dataset/"
    dataset = id_of(await person.dataset())
    body = {"dataset_id": dataset, "enabled_algorithms": ["selfie_v2.redness"]}
    answer = await person.ask("POST", path, json=body)
    assert fault(answer, 400)["code"] == "missing_dependencies"
    assert answer.json()["extra"] == {
        "missing_application_tech_names": [],
        "missing_algorithms": ["selfie_v2.face_detector"],
    }
    run = await person.made(f"{path}?resolve_dependencies=true", body)
    assert run["enabled_algorithms"] == [REDNESS, DETECTOR]
    everything = await person.made(path, {"dataset_id": dataset})
    assert everything["id"] == run["id"] and len(everything["enabled_algorithms"]) == ALL
    unknown = body | {"enabled_algorithms": ["selfie_v2.age"]}
    assert fault(await person.ask("POST", path, json=unknown), 400)["attr"] == "enabled_algorithms"
    nobody = path.replace("face_skin_metrics_2.0", "of_nobody")
    fault(await person.ask("POST", nobody, json=body), 404)


async def test_an_application_that_an_account_has_made(world: Measured) -> None:
    """Any operations: metrics from their annotations, under the operation's own name."""
    person = world.person
    principal = Principal(person.company_id, "somebody")
    use_cases = world.haut.parts.use_cases
    steps = [Step("sharpness", "image_quality")]
    made = await use_cases.applications.create(
        principal, NewApplication("own", steps, title="Our own")
    )
    listed = (await person.get(f"{person.company}/applications/"))["results"]
    (own,) = [one for one in listed if one["id"] == made.id]
    (algorithm,) = own["algorithms_versions"]
    assert own["name"] == "Our own" and algorithm["id"] >= 1000
    dataset = await person.dataset()
    await attach(person, dataset, made.id, enabled_algorithms=[algorithm["id"]])
    image = await person.image(await person.batch(await person.subject(dataset)))
    (one,) = await results(person, image, 1)
    assert one["is_ok"] and one["algorithm_version_id"] == algorithm["id"]
    assert one["algorithm_family_tech_name"] == "image_quality"
    (area,) = one["result"]["area_results"]
    assert isinstance(area["main_metric"]["value"], int | float)
    assert json.dumps(one)
