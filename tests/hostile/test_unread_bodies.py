"""Pictures of who may send none are not waited for: the refusal comes while the body does not."""

import asyncio
import json

import pytest

from opsin.app import create_app
from opsin.settings import Settings
from tests.hostile.test_rest_access import Callers, mounted
from tests.hostile.test_rest_access import callers as callers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

_FORM = "multipart/form-data; boundary=x"
TAKES_PICTURES = (
    ("/analyze_image", "image/png"),  # PEKAT's
    ("/analyze_image", "application/json"),  # image_embed's
    ("/analyze_raw_image?width=40&height=30", "application/octet-stream"),
    ("/analyze_image_upload/", _FORM),
    ("/analyze_images/", "application/json"),
    ("/v1/predict-single", _FORM),
    ("/v1/predict-batch", _FORM),
    ("/api/projects/{project_id}/images", _FORM),
    (
        "/api/v1/companies/{company_id}/datasets/{dataset_id}/subjects/{subject_id}/images/",
        "application/json",
    ),
    (
        "/api/v1/companies/{company_id}/datasets/{dataset_id}/subjects/{subject_id}"
        "/batches/{batch_id}/images/",
        "application/json",
    ),
)
"""Path and content type."""
WITHOUT_A_BODY = ("/ping?init_model",)


async def answered(
    callers: Callers, path: str, content_type: str, headers: dict[str, str], method: str = "POST"
) -> int:
    """The status of the answer to a request of which everything but the body is sent."""
    port = callers.world.live.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = {} if method == "GET" else {"Content-Type": content_type, "Content-Length": "100000"}
    lines = {"Host": f"127.0.0.1:{port}", "Accept": "*/*", **length, **headers}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in lines.items())]
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(15):
            return int((await reader.readline()).split()[1])
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(("path", "content_type"), TAKES_PICTURES)
async def test_refused_before_a_byte_of_the_body(
    callers: Callers, path: str, content_type: str
) -> None:
    url = path.format_map(callers.world.names)
    for headers in (callers.viewer, callers.elsewhere, callers.theirs, *callers.nobody.values()):
        if headers is callers.theirs and "{" not in path:
            continue  # an administrator of another company, at an address without one
        status = await answered(callers, url, content_type, dict(headers))
        assert status in (401, 403, 404), (headers, status)


@pytest.mark.parametrize("path", WITHOUT_A_BODY)
async def test_no_model_is_loaded_for_who_may_have_nothing_analysed(
    callers: Callers, path: str
) -> None:
    for headers in (callers.viewer, callers.elsewhere):
        assert await answered(callers, path, "", dict(headers), "GET") == 403


async def test_who_may_send_is_waited_for(callers: Callers) -> None:
    """The same request of a caller who may: otherwise nothing above would be shown."""
    live = callers.world.live
    headers = dict(live.client.headers)
    shown = {"X-API-Key": headers["x-api-key"], "Authorization": f"Bearer {headers['x-api-key']}"}
    for path, content_type in TAKES_PICTURES:
        url = path.format_map(callers.world.names)
        waiting = asyncio.create_task(answered(callers, url, content_type, shown))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done, (path, waiting.result())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_every_path_that_sounds_of_pictures_is_here() -> None:
    settings = Settings(auth="keys", worker=False, webhooks=False, offline=True)
    pictures = ("analyze", "predict", "/images")
    known = {path.partition("?")[0].rstrip("/") for path, _ in TAKES_PICTURES}
    known |= {"/predict-single", "/predict-batch"}  # other names of the same
    known |= {"/analyze_image_shared_memory"}  # has no body
    taking = {
        path
        for method, path in mounted(create_app(settings).routes)
        if method in ("POST", "PUT")
        and any(part in path for part in pictures)
        and "/pdf-generator/" not in path
    }
    assert taking and {path.rstrip("/") for path in taking} <= known


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("analyzeImage", {"file": None, "tasks": []}),
        ("analyzeImage", {"base64": "not base64!", "tasks": []}),
        ("uploadImage", {"file": None}),
        ("importImage", {"base64": "not base64!"}),
    ],
)
async def test_graphql_looks_at_no_picture_of_theirs(
    callers: Callers, field: str, given: dict[str, object]
) -> None:
    """Which mutation it is stands in the body; but what is sent as a picture is not looked at."""
    kind = field[0].upper() + field[1:] + "Input"
    if field != "analyzeImage":
        given = {**given, "datasetId": callers.world.names["dataset_id"]}
    document = f"mutation($input: {kind}!) {{ {field}(input: $input) {{ __typename }} }}"
    operations = json.dumps({"query": document, "variables": {"input": given}})
    client = callers.world.live.client
    for headers in (callers.viewer, callers.elsewhere):
        if "file" in given:
            answer = await client.post(
                "/graphql",
                data={"operations": operations, "map": '{"0": ["variables.input.file"]}'},
                files={"0": ("a.png", b"no picture", "image/png")},
                headers=dict(headers),
            )
        else:
            answer = await client.post(
                "/graphql",
                content=operations,
                headers={**headers, "content-type": "application/json"},
            )
        told = {error["extensions"]["code"] for error in answer.json()["errors"]}
        assert told <= {"FORBIDDEN", "NOT_FOUND"}, (field, answer.text)
