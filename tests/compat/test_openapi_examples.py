"""The OpenAPI document: whole, and every example in it is a request that works."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from opsin.compat.haut.examples import EXAMPLE_DATASET, EXAMPLE_REFRESH, EXAMPLE_SUBJECT
from opsin.compat.vista.examples import CLASS_ID
from tests.compat.world import PICTURE, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

RAW = bytes(range(12))
"""Two by two pixels, as the document's example says."""


async def document(everything: World) -> dict[str, Any]:
    whole: dict[str, Any] = (await everything.live.client.get("/openapi.json")).json()
    return whole


def operations(whole: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


async def test_every_json_body_has_an_example(everything: World) -> None:
    for method, path, operation in operations(await document(everything)):
        for kind, form in operation.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                assert "example" in form, (method, path)


async def test_every_example_is_a_request_that_works(everything: World) -> None:
    """Each body of each kind; ids, files and hosts are the test's own."""
    sent = 0
    for method, path, operation in operations(await document(everything)):
        body = operation.get("requestBody", {})
        for kind, form in body.get("content", {}).items():
            if path.startswith("/uploads/"):
                continue  # its address is signed by the server, and that of another test
            answered = await _send(everything, method, path, operation, kind, form)
            assert answered.is_success, (method, path, kind, answered.status_code, answered.text)
            assert str(answered.status_code) in operation["responses"], (method, path)
            sent += 1
    assert sent >= 40


async def _send(
    everything: World, method: str, path: str, operation: dict[str, Any], kind: str, form: Any
) -> Any:
    names = dict(everything.names)
    if path.startswith("/api/analyses/"):  # each begins with one of its own
        names["analysis_id"] = (await _analysis(everything))["id"]
    text = json.dumps(form.get("example"))
    replaced = {
        CLASS_ID: names["class_id"],
        "https://example.com/a.jpg": everything.picture_url,
        EXAMPLE_DATASET: names["dataset_id"],
    }
    if EXAMPLE_REFRESH in text:  # each works once
        replaced[EXAMPLE_REFRESH] = await _refresh_token(everything)
    if EXAMPLE_SUBJECT in text:
        replaced[EXAMPLE_SUBJECT] = (await _subject(everything))["id"]
    for given, own in replaced.items():
        text = text.replace(given, own)
    query = {
        one["name"]: one["example"]
        for one in operation.get("parameters", ())
        if one["in"] == "query" and "example" in one
    }
    request: dict[str, Any] = {"params": query}
    if kind == "application/json":
        request["json"] = json.loads(text)
    elif kind == "multipart/form-data":
        request["files"], request["data"] = _form(operation, await document(everything), form)
    else:
        request["content"] = RAW if "raw" in path else PICTURE
        request["headers"] = {"content-type": kind}
    signed = any("signature" in name for way in operation.get("security", ()) for name in way)
    return await everything.send(method.upper(), path.format(**names), signed=signed, **request)


async def _refresh_token(everything: World) -> str:
    body = {"username": everything.names["email"], "password": everything.names["password"]}
    answer = await everything.send("POST", "/api/v1/login/", json=body)
    token: str = answer.json()["refresh_token"]
    return token


async def _subject(everything: World) -> dict[str, Any]:
    path = "/api/v1/companies/{company_id}/datasets/{dataset_id}/subjects/"
    return await everything.made(
        "POST", path.format(**everything.names), json={"name": "to be deleted"}
    )


async def _analysis(everything: World) -> dict[str, Any]:
    return await everything.made(
        "POST",
        f"/api/images/{everything.names['image_id']}/analyses",
        json={"model_name": "yolo_v8", "model_version": "1"},
    )


def _form(
    operation: dict[str, Any], whole: dict[str, Any], form: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A file for each field that is one, of the type that is asked for, and the example's rest."""
    schema = form["schema"]
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    files: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        if field.get("format") == "binary" or "contentMediaType" in field:
            wanted = form.get("encoding", {}).get(name, {}).get("contentType", "image/*")
            files[name] = (
                ("a.zip", _archive(), "application/zip")
                if wanted == "application/zip"
                else ("a.png", PICTURE, "image/png")
            )
    return files, form.get("example", {})


def _archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.png", PICTURE)
    return content.getvalue()
