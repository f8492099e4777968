"""What holds at every path: slashes, methods, types, sizes, errors, and who else is at `/api`."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from opsin.compat.haut.door import HautDoor
from opsin.compat.haut.gate import Row
from opsin.compat.haut.options import HautOptions
from opsin.core.datasets import Datasets
from opsin.settings import Settings
from tests.compat.haut.world import (
    ABSENT,
    API,
    Haut,
    base64_text,
    fault,
    haut_server,
    haut_settings,
)
from tests.conftest import serve
from tests.pictures import noise_jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = {
    name: ABSENT
    for name in (
        *("company_id", "dataset_id", "subject_id", "batch_id", "image_id", "application_id"),
        *("aux_id", "file_id", "token_id"),
    )
}


@pytest.fixture(scope="module")
def table(haut: Haut) -> list[Row]:
    """The door's rows; it can be made once of each set of use cases."""
    return HautDoor(haut.parts.use_cases, HautOptions()).table()


def filled(path: str, haut: Haut) -> str:
    return path.format(**IDS | {"company_id": haut.ours.company_id})


async def test_every_route_has_both_forms(haut: Haut, table: list[Row]) -> None:
    """Neither is a redirect, which would make a GET of a POST."""
    routes = [row for row in table if not row.path.endswith(".jpg")]
    assert len(routes) >= 30
    for row in routes:
        path = filled(row.path, haut)
        for method in (*row.methods, *row.open):
            answers = [
                await haut.ours.ask(method, form, headers={"Accept": "*/*"})
                for form in (path, f"{path}/")
            ]
            assert len({answer.status_code for answer in answers}) == 1, (method, path)
            assert not answers[0].is_redirect and answers[0].status_code < 500, (method, path)


async def test_every_route_asks_for_a_token_but_for_the_open_ones(
    haut: Haut, table: list[Row]
) -> None:
    for row in table:
        path = filled(row.path, haut)
        for method in row.methods:
            answer = await haut.client.request(method, path)
            assert fault(answer, 401)["code"] == "not_authenticated", (method, path)
        if row.open:
            name = path.removeprefix(API)
            assert name in (
                *("/login", "/auth/login", "/refresh", "/auth/refresh"),
                *("/dicts/image_types", "/dicts/algorithms"),
            )


async def test_every_route_of_a_company_is_closed_to_others(haut: Haut, table: list[Row]) -> None:
    closed = 0
    for row in table:
        if "{company_id}" not in row.path:
            continue
        path = filled(row.path, haut)
        for method in row.methods:
            answer = await haut.theirs.ask(method, path, headers={"Accept": "*/*"})
            assert fault(answer, 403)["code"] == "permission_denied", (method, path)
            closed += 1
    assert closed >= 30


async def test_other_methods_are_refused(haut: Haut, table: list[Row]) -> None:
    for row in table:
        path = filled(row.path, haut)
        allowed = {*row.methods, *row.open}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            answer = await haut.ours.ask(method, path)
            assert fault(answer, 405)["code"] == "method_not_allowed", (method, path)
            told = set(answer.headers["allow"].split(", ")) - {"HEAD"}
            assert told == allowed
        if "GET" in allowed:
            answer = await haut.client.request("HEAD", path)
            assert answer.content == b"" and answer.status_code in (200, 401)


@pytest.mark.parametrize("accept", ["text/html", "application/xml, text/*;q=0.5", "image/*"])
async def test_who_takes_no_json(haut: Haut, accept: str) -> None:
    headers = {"Accept": accept}
    for path in (f"{haut.ours.company}/datasets/", f"{API}/dicts/image_types/"):
        answer = await haut.ours.ask("GET", path, headers=headers)
        assert fault(answer, 406)["code"] == "not_acceptable"
    # What is no JSON is not asked for as such.
    image = await haut.ours.image()
    path = f"/images/{image.rpartition('/')[2]}.jpg"
    assert (await haut.ours.ask("GET", path, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "text/html, Application/JSON;q=0.1", ""]
)
async def test_who_takes_json(haut: Haut, accept: str) -> None:
    answer = await haut.ours.ask("GET", f"{API}/companies/", headers={"Accept": accept})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
async def test_a_body_that_is_no_json(haut: Haut, kind: str) -> None:
    path = f"{haut.ours.company}/datasets/"
    answer = await haut.ours.ask("POST", path, content=b"name=x", headers={"Content-Type": kind})
    assert fault(answer, 415)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("kind", ["application/json", "APPLICATION/JSON; charset=utf-8", None])
async def test_a_body_that_is_json(haut: Haut, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    path = f"{haut.ours.company}/datasets/"
    answer = await haut.ours.ask("POST", path, content=b'{"name": "x"}', headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"name": "a\nb"}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b"[" * 100_000,
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
    ids=range(8),
)
async def test_json_that_cannot_be_read(haut: Haut, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    path = f"{haut.ours.company}/datasets/"
    answer = await haut.ours.ask("POST", path, content=body, headers=headers)
    if body.startswith(b'{"name": 9'):  # read by some as a large number
        assert answer.status_code in (201, 400)
        return
    assert fault(answer, 400)["code"] == "parse_error"


@pytest.mark.parametrize("body", [[], "x", 1, None, True])
async def test_json_that_is_no_object(haut: Haut, body: object) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await haut.ours.ask(
        "POST", f"{haut.ours.company}/datasets/", content=json.dumps(body), headers=headers
    )
    error = fault(answer, 400)
    assert (error["code"], error["attr"]) == ("invalid", None)


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/nothing/", "/companies//datasets/", "/login/more", "/%2e%2e"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_path_that_is_none(haut: Haut, path: str, method: str) -> None:
    """Also where another API would answer for all below `/api`."""
    answer = await haut.ours.ask(method, f"{API}{path}")
    assert fault(answer, 404)["code"] == "not_found"


async def test_vista_keeps_its_own(haut: Haut) -> None:
    answer = await haut.client.get("/api/nothing")
    assert (answer.status_code, set(answer.json())) == (404, {"detail"})
    answer = await haut.client.get("/api/health")
    assert answer.json()["status"] == "healthy"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Haut]:
    """A server that takes pictures of 20,000 bytes."""
    settings = haut_settings(
        module_settings, data_dir=tmp_path_factory.mktemp("small"), max_upload_bytes=20_000
    )
    async with haut_server(settings) as server:
        yield server


async def test_too_large_a_picture(small: Haut) -> None:
    ours = small.ours
    picture = noise_jpeg(200, 200)
    assert len(picture) > 20_000
    batch = await ours.batch()
    answer = await ours.ask("POST", f"{batch}/images/", json={"b64data": base64_text(picture)})
    assert fault(answer, 413)["code"] == "too_large"
    assert (await ours.get(f"{batch}/images/"))["count"] == 0


async def test_the_largest_picture_fits_into_a_request_as_base64(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Though its text is a third longer than what requests may have elsewhere."""
    picture = noise_jpeg(2000, 1500)
    settings = haut_settings(
        module_settings,
        data_dir=tmp_path_factory.mktemp("large"),
        max_upload_bytes=len(picture),
    )
    async with haut_server(settings) as haut:
        await haut.ours.image(b64data=base64_text(picture))


async def test_too_large_a_request(small: Haut) -> None:
    for path in (f"{API}/login/", f"{API}/auth/refresh"):
        body = {"username": "x" * 70_000, "password": "y"}
        answer = await small.client.post(path, json=body)
        assert fault(answer, 413)["code"] == "too_large", "anybody can send this"


async def test_in_dev_mode_everybody_is_the_local_user(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = module_settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("dev")})
    async with serve(settings) as live:
        profile = (await live.client.get(f"{API}/auth/profile/")).json()
        path = f"{API}/companies/{profile['company_id']}/datasets/"
        assert profile["user"] is None and profile["company"]["name"] == "local"
        assert (await live.client.post(path, json={"name": "x"})).status_code == 201
        answer = await live.client.get(path, headers={"Authorization": "Bearer nonsense"})
        assert fault(answer, 401)["code"] == "authentication_failed"
        headers = {"Origin": "https://evil.example", "Content-Type": ""}
        answer = await live.client.post(path, content=b'{"name": "x"}', headers=headers)
        assert fault(answer, 403)["code"] == "permission_denied"


async def test_the_page_of_the_api(haut: Haut, table: list[Row]) -> None:
    for slash in ("", "/"):
        page = await haut.client.get(f"/api/swagger{slash}")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert 'data-document="/api/swagger/openapi.json"' in page.text
    document = (await haut.client.get("/api/swagger/openapi.json")).json()
    assert document["openapi"].startswith("3.1") and document["info"]["title"] == "Opsin"
    described = {
        (method.upper(), path.rstrip("/"))
        for path, item in document["paths"].items()
        for method in item
    }
    served = {(method, row.path) for row in table for method in (*row.methods, *row.open)}
    assert described == served | {("GET", "/api/swagger")}


async def test_what_nobody_expected_is_masked(haut: Haut, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(Datasets, "page", broken)
    answer = await haut.ours.ask("GET", f"{haut.ours.company}/datasets/")
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.json()["type"] == "server_error"
    assert answer.json()["errors"][0]["code"] == "error"
