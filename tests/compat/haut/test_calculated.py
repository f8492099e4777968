"""What is calculated of a real portrait, on each database: results, aux images, history, runs."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import event

from opsin.compat.haut.numbers import Algorithms, declare
from opsin.compat.haut.results import Results
from opsin.core.access import Principal
from opsin.storage.database import Database
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
    results_at,
)
from tests.compat.haut.world import ABSENT, base64_text, fault
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def statements(database: Database, act: Callable[[], Awaitable[object]]) -> list[str]:
    """The texts of all that is asked of the database meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return [one for one in seen if one.upper().startswith(("SELECT", "WITH"))]


# --- results --------------------------------------------------------------------------------------


async def test_every_algorithm_has_a_result_that_its_number_leads_to(world: Measured) -> None:
    """As the documented script prints them; newest first."""
    person = world.person
    found = await person.get(f"{world.image}/results/")
    algorithms = await person.get("/api/v1/dicts/algorithms/")
    assert len(found) == ALL and all(one["is_ok"] for one in found)
    for one in found:
        (known,) = [algo for algo in algorithms if algo["id"] == one["algorithm_version_id"]]
        assert known["algorithm_family"]["tech_name"] == one["algorithm_family_tech_name"]
        assert known["version"]
    families = by_family(found)
    assert families["face_detector"]["algorithm_version_id"] == DETECTOR
    assert families["redness"]["algorithm_version_id"] == REDNESS
    times = [one["creation_time"] for one in found]
    assert times == sorted(times, reverse=True)
    assert {one["image_id"] for one in found} == {id_of(world.image)}
    assert {one["application_run_id"] for one in found} == {world.run["id"]}


async def test_results_tell_of_the_portrait(world: Measured) -> None:
    """Her face is where MTCNN finds it, and what was measured lies in it."""
    families = by_family(await world.person.get(f"{world.image}/results/"))
    x, y, width, height = families["face_detector"]["result"]["bbox"]
    assert x < 2 * 222 and x + width > 2 * 310 and y < 2 * 190 and y + height > 2 * 280
    for family in ("redness", "pores", "wrinkles"):
        (mask,) = families[family]["result"]["masks_original"]
        assert mask["view_box"] == "0 0 1024 1200"
        size = families[family]["result"]["masks_restored"][0]["view_box"].split()
        assert size == ["0", "0", size[2], size[2]] and 100 < int(size[2]) <= 700
    tone = families["skin_tone"]["result"]["area_results"][0]["main_metric"]
    assert -90 <= tone["value"] <= 90


async def test_filters(world: Measured) -> None:
    person, path = world.person, f"{world.image}/results/"
    assert len(await person.get(path, application_run_id=world.run["id"])) == ALL
    assert len(await person.get(path, application_id=V2)) == ALL
    assert len(await person.get(path, application_name="Face Skin Metrics 2.0")) == ALL
    assert await person.get(path, application_id=V1) == []
    assert await person.get(path, application_run_id=ABSENT) == []
    assert await person.get(path, application_name="another") == []
    answer = await person.client.get(f"{path}?token={person.token}")
    assert answer.status_code == 200 and len(answer.json()) == ALL


async def test_results_are_read_in_one_statement(world: Measured) -> None:
    """However many algorithms there are; what other operations found is one more."""
    use_cases = world.haut.parts.use_cases
    declare(use_cases)
    read = Results(use_cases, Algorithms(use_cases))
    reader = Principal(world.person.company_id, "a reader")
    image_id = id_of(world.image)
    assert len(await read.of_image(reader, image_id)) == ALL  # numbers are known from now on
    asked = await statements(use_cases.database, lambda: read.of_image(reader, image_id))
    assert len(asked) == 1, asked


async def test_an_image_without_results_has_an_empty_list(world: Measured) -> None:
    """Never 404 and never 202."""
    image = await world.person.image()
    for path in ("results", "aux", "smoothed_results"):
        assert await world.person.get(f"{image}/{path}/") == []


async def test_wrong_chains_and_other_companies(world: Measured) -> None:
    person, other = world.person, world.haut.theirs
    elsewhere = await person.subject(world.dataset)
    tail = world.image.removeprefix(world.subject)
    for path in ("results", "aux", f"aux/{ABSENT}/signed_url", "smoothed_results"):
        fault(await person.ask("GET", f"{elsewhere}{tail}/{path}/"), 404)
        fault(await other.ask("GET", f"{world.image}/{path}/"), 403)
        fault(await person.client.get(f"{world.image}/{path}/"), 401)
    fault(await other.ask("GET", f"{world.subject}/all_results/"), 403)
    fault(await person.ask("GET", f"{world.dataset}/subjects/{ABSENT}/all_results/"), 404)


# --- aux images -----------------------------------------------------------------------------------


async def test_aux_images_and_their_files(world: Measured) -> None:
    person = world.person
    found = await person.get(f"{world.image}/aux/")
    names = [one["aux_image_type"]["tech_name"] for one in found]
    assert names[0] == "aligned_face" and {"forehead", "nose", "left_cheek"} <= set(names)
    numbers = {one["id"] for one in await person.get("/api/v1/dicts/algorithms/")}
    for one in found:
        assert {"id", "aux_image_type", "creation_time", "urls", "results"} <= set(one)
        answer = await person.client.get(f"/images/{one['id']}.jpg?token={person.token}")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.format == "JPEG"
        assert {result["algorithm_version_id"] for result in one["results"]} <= numbers
    (forehead,) = [one for one in found if one["aux_image_type"]["tech_name"] == "forehead"]
    redness = [r for r in forehead["results"] if r["algorithm_version_id"] == REDNESS]
    whole = by_family(await person.get(f"{world.image}/results/"))["redness"]["result"]
    assert redness[0]["result"]["area_results"] == [
        area for area in whole["area_results"] if area["area_name"] == "forehead"
    ]


async def test_signed_addresses_of_aux_images(world: Measured) -> None:
    person = world.person
    aux = (await person.get(f"{world.image}/aux/"))[0]["id"]
    path = f"{world.image}/aux/{aux}/signed_url"
    signed = await person.get(path, expiration_seconds=60)
    answer = await person.client.get(signed["url"])
    assert answer.status_code == 200 and answer.content.startswith(b"\xff\xd8")
    assert (await person.client.get(signed["url"] + "0")).status_code == 403
    for seconds in ("0", "-1", "x", "99999999"):
        told = fault(await person.ask("GET", f"{path}?expiration_seconds={seconds}"), 400)
        assert told["attr"] == "expiration_seconds"
    fault(await person.ask("GET", f"{world.image}/aux/{ABSENT}/signed_url/"), 404)


# --- history --------------------------------------------------------------------------------------


async def test_all_results_by_dates(world: Measured) -> None:
    """Dates with and without a zone and microseconds, as the documented script sends them."""
    person, path = world.person, f"{world.subject}/all_results/"
    now = datetime.now(UTC)
    found = await person.get(path)
    assert len(found) == ALL and {one["batch_id"] for one in found} == {id_of(world.batch)}
    one = {key: value for key, value in found[0].items() if key != "batch_id"}
    assert one in await person.get(f"{world.image}/results/")
    week_ago, tomorrow = now - timedelta(weeks=1), now + timedelta(days=1)
    for since in (
        week_ago.replace(tzinfo=None).isoformat(),
        week_ago.isoformat(),
        week_ago.date().isoformat(),
        week_ago.strftime("%Y-%m-%dT%H:%M:%SZ"),
    ):
        assert len(await person.get(path, date_from=since)) == ALL
        assert len(await person.get(path, date_from=since, date_to=tomorrow.isoformat())) == ALL
        assert await person.get(path, date_to=since) == []
    assert await person.get(path, date_from=tomorrow.isoformat()) == []
    for name in ("date_from", "date_to"):
        assert fault(await person.ask("GET", f"{path}?{name}=yesterday"), 400)["attr"] == name


async def test_all_results_go_on_over_many_images(world: Measured) -> None:
    """More than are read at once, newest first, each exactly once."""
    person = world.person
    dataset = await person.dataset()
    await attach(person, dataset, enabled_algorithms=[DETECTOR])
    subject = await person.subject(dataset)
    nothing = base64_text(solid_png())
    made = []
    for day in range(1, 29):
        for month in (1, 2):
            moment = f"2026-{month:02}-{day:02}T12:00:00"
            batch = await person.batch(subject, creation_time=moment)
            made.append((moment, id_of(await person.image(batch, b64data=nothing))))
    made.sort(reverse=True)
    found = await results_at(person, f"{subject}/all_results/", len(made))
    assert [one["image_id"] for one in found] == [identity for _, identity in made]
    some = await person.get(
        f"{subject}/all_results/", date_from="2026-01-10", date_to="2026-01-20T12:00:00"
    )
    wanted = [identity for moment, identity in made if "2026-01-10" <= moment <= "2026-01-20T12"]
    assert [one["image_id"] for one in some][1:] == wanted
    assert all(one["is_ok"] and one["result"]["bbox"] is None for one in found)


async def test_smoothed_results_of_one_image_are_its_own(world: Measured) -> None:
    """By tech name; what has no score from bad to good is not among them."""
    person, path = world.person, f"{world.image}/smoothed_results/"
    found = await person.get(
        path, sample_time_window=14, sample_max_size=10, smoothing_method="mean"
    )
    families = by_family(await person.get(f"{world.image}/results/"))
    mains = {
        f"selfie_v2.{name}": one["result"]["area_results"][0]["main_metric"]
        for name, one in families.items()
        if name != "face_detector"
    }
    scores = {k: m["value"] for k, m in mains.items() if m["widget_type"] == "bad_good_line"}
    assert {one["algorithm_tech_name"]: one["value"] for one in found} == scores
    assert [one["algorithm_tech_name"] for one in found] == sorted(scores)
    assert {"value", "algorithm_name", "algorithm_tech_name"} == set(found[0])
    assert found[0]["algorithm_name"] == "Eye Bags"
    for method in ("mean_without_outliers", "linear_approximation"):
        assert await person.get(path, smoothing_method=method) == found
    # As in `results`, nothing is asked for by an empty text.
    assert await person.get(path, application_id="") == found
    assert await person.get(path, application_id="nobody") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_time_window", "0"),
        ("sample_time_window", "366"),
        ("sample_time_window", "x"),
        ("sample_max_size", "0"),
        ("sample_max_size", "101"),
        ("smoothing_method", "median"),
        ("smoothing_method", ""),
    ],
)
async def test_smoothing_out_of_range(world: Measured, name: str, value: str) -> None:
    answer = await world.person.ask("GET", f"{world.image}/smoothed_results/?{name}={value}")
    assert fault(answer, 400)["attr"] == name


# --- retention ------------------------------------------------------------------------------------


async def test_what_is_left_when_the_files_are_gone(world: Measured) -> None:
    """Deleted as soon as all was measured: the results stay, pictures are left out."""
    person = world.person
    dataset = await person.dataset(clean_images_as_soon_as_ready=True)
    await attach(person, dataset)
    picture = base64_text(large_portrait())
    image = await person.image(await person.batch(await person.subject(dataset)), b64data=picture)
    found = await results(person, image)
    path = f"/images/{id_of(image)}.jpg"
    async with asyncio.timeout(60):
        while (await person.ask("GET", path)).status_code != 404:  # noqa: ASYNC110  # another process's work
            await asyncio.sleep(0.1)
    assert await person.get(f"{image}/results/") == found
    assert await person.get(f"{image}/aux/") == []
    assert (await person.get(f"{image}/"))["urls"]["original"] is None
    assert len(await person.get(f"{image}/smoothed_results/")) == 9
    report = f"/service/pdf-generator{image.removeprefix('/api/v1')}/pdf/"
    answer = await person.ask("POST", report, timeout=90)
    assert answer.status_code == 200 and answer.content.startswith(b"%PDF-")


# --- reports --------------------------------------------------------------------------------------


def report_path(world: Measured) -> str:
    return f"/service/pdf-generator{world.image.removeprefix('/api/v1')}/pdf/"


async def test_the_report_as_the_document_asks_for_it(world: Measured) -> None:
    answer = await world.person.client.post(
        report_path(world),
        json={"timeout": 60_000, "waitUntil": "networkidle0"},
        headers={"accept": "*/*", "access-token": world.person.token},
        timeout=90,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.content.startswith(b"%PDF-") and len(answer.content) > 20_000


async def test_a_report_without_a_body_and_by_another_header(world: Measured) -> None:
    path = report_path(world).rstrip("/")
    answer = await world.person.ask("POST", path, timeout=90)
    assert answer.status_code == 200 and answer.content.startswith(b"%PDF-")


async def test_reports_that_are_refused(world: Measured) -> None:
    person, path = world.person, report_path(world)
    for body in ({"timeout": 0}, {"timeout": "long"}, {"timeout": -5}):
        answer = await person.ask("POST", path, json=body)
        assert answer.status_code == 422 and answer.json()["errors"][0]["attr"] == "timeout"
    answer = await person.ask("POST", path, json={"timeout": 1})
    assert answer.status_code == 504 and answer.json()["errors"][0]["code"] == "timeout"
    fault(await person.client.post(path), 401)
    fault(await person.client.post(path, headers={"access-token": "x"}), 401)
    fault(await world.haut.theirs.ask("POST", path), 403)
    fault(await person.ask("POST", path.replace(id_of(world.image), ABSENT)), 404)
    fault(await person.ask("GET", path), 405)
