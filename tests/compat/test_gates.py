"""Between the APIs: each is switched by itself, errs in its own form, and has its own bodies."""

from typing import Any

import httpx
import pytest

from opsin.core.errors import ConfigurationError
from opsin.settings import Settings
from tests.compat.pekat.bright_plugin import SOURCE
from tests.conftest import LiveServer, serve
from tests.pictures import solid_png

PICTURE = solid_png(40, 30)
FLOW = '[{"operation": "judge_tone"}]'
TITLES = {
    "haut": "Haut.AI",
    "vista": "VISTA",
    "pekat": "PEKAT VISION",
    "image_embed": "image_embed",
    "whales": "whales",
}
ASKED = {
    "haut": ("GET", "/api/v1/dicts/image_types/", 200),
    "vista": ("GET", "/api/projects", 200),
    "pekat": ("GET", "/ping", 200),
    "image_embed": ("GET", "/available_operations/", 200),
    "whales": ("GET", "/v1/drift-stats", 200),
}
"""A request for each API that it answers without ado."""
OURS = {"errors"}
FORMS = {
    "haut": {"type", "errors"},
    "vista": {"detail"},
    "pekat": {"error", "message"},
    "image_embed": {"detail"},
    "whales": {"detail"},
}
"""The keys of an error's body."""
BELOW = {
    "haut": ("/api/v1/nothing", "/service/pdf-generator/more", "/notifications/more"),
    "vista": ("/api/nothing", "/api/projects/%0A/metadata"),
    "pekat": ("/analyze_raw_image/more", "/last_image/more"),
    "image_embed": ("/available_operations/more", "/analyze_images/more"),
    "whales": ("/v1/predict-single/more", "/predict-batch/more"),
}
"""Paths that lie below those of an API and that no route has."""
WITH_BODY: dict[str, tuple[str, dict[str, Any]]] = {
    "haut": ("/api/v1/login/", {"json": {"username": "x" * 3_000}}),
    "vista": ("/api/projects", {"json": {"name": "x" * 3_000}}),
    "pekat": ("/analyze_image", {"content": bytes(3_000)}),
    "image_embed": ("/analyze_image/", {"json": {"image_url": "x" * 3_000}}),
    "whales": (
        "/v1/predict-single",
        {"files": {"file": ("a.png", bytes(3_000), "image/png")}},
    ),
}


def api_server(settings: Settings, **changes: Any) -> Any:
    given = {"pekat_flow": FLOW, "offline": True} | changes
    return serve(settings.model_copy(update=given), more_plugins=[SOURCE])


async def titles(live: LiveServer) -> set[str]:
    whole = (await live.client.get("/openapi.json")).json()
    return {group["name"] for group in whole["x-tagGroups"]} - {"Opsin"}


@pytest.mark.parametrize("name", ASKED)
async def test_one_api_alone(settings: Settings, name: str) -> None:
    async with api_server(settings, compat=(name,)) as live:
        for other, (method, path, status) in ASKED.items():
            answer = await live.client.request(method, path)
            assert answer.status_code == (status if other == name else 404), (other, answer.text)
            if other != name:  # VISTA has all below `/api`
                vistas = name == "vista" and path.startswith("/api/")
                assert set(answer.json()) == (FORMS["vista"] if vistas else OURS)
        assert await titles(live) == {TITLES[name]}


@pytest.mark.parametrize("name", ASKED)
async def test_one_api_off(settings: Settings, name: str) -> None:
    rest = tuple(other for other in ASKED if other != name)
    async with api_server(settings, compat=rest) as live:
        for other, (method, path, status) in ASKED.items():
            answer = await live.client.request(method, path)
            assert answer.status_code == (404 if other == name else status), (other, answer.text)
        assert await titles(live) == {TITLES[other] for other in rest}


async def test_an_unknown_api_stops_the_start(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_COMPAT: there is no API named nonsense"):
        async with api_server(settings, compat=("pekat", "nonsense")):
            pass


async def test_unknown_paths_are_told_in_the_form_of_the_api_above(settings: Settings) -> None:
    async with api_server(settings) as live:
        for name, paths in BELOW.items():
            for path in paths:
                answer = await live.client.get(path)
                assert answer.status_code == 404, (path, answer.text)
                assert set(answer.json()) == FORMS[name], (path, answer.text)
        answer = await live.client.get("/nothing/at/all")
        assert (answer.status_code, set(answer.json())) == (404, OURS)


async def test_too_large_a_body_is_told_in_the_form_of_its_api(settings: Settings) -> None:
    async with api_server(
        settings, max_request_bytes=2_000, whales_max_archive_bytes=1_000
    ) as live:
        for name, (path, request) in WITH_BODY.items():
            answer = await live.client.post(path, **request)
            assert answer.status_code == 413, (name, answer.text)
            assert set(answer.json()) == FORMS[name], (name, answer.text)


JSON = {"image_url": "http://127.0.0.1:1/a.png", "tasks": []}
KINDS: list[tuple[str | None, str]] = [
    ("application/json", "image_embed"),
    ("application/json; charset=utf-8", "image_embed"),
    ("APPLICATION/JSON", "image_embed"),
    ("application/ld+json", "image_embed"),
    ("application/octet-stream", "pekat"),
    ("application/x-www-form-urlencoded", "pekat"),
    ("image/png", "pekat"),
    ("text/json", "pekat"),
    ("", "pekat"),
    (None, "pekat"),
]


async def shared(live: LiveServer, kind: str | None, content: bytes) -> httpx.Response:
    """A request to the path that two APIs have, exactly with this type."""
    headers = {} if kind is None else {"content-type": kind}
    request = live.client.build_request("POST", "/analyze_image", content=content, headers=headers)
    return await live.client.send(request)


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_the_content_type_says_whose_request_it_is(
    settings: Settings, kind: str | None, name: str
) -> None:
    async with api_server(settings) as live:
        answer = await shared(live, kind, PICTURE)
        if name == "pekat":
            assert answer.status_code == 200 and answer.json()["imageShape"]
        else:  # a picture is no JSON
            assert (answer.status_code, set(answer.json())) == (422, {"detail"})


@pytest.mark.parametrize(
    ("compat", "kind", "keys"),
    [
        (("pekat",), "application/json", {"imageShape"}),
        (("image_embed",), "application/octet-stream", {"detail"}),
    ],
)
async def test_where_one_of_the_two_is_off_the_other_has_the_path(
    settings: Settings, compat: tuple[str, ...], kind: str, keys: set[str]
) -> None:
    async with api_server(settings, compat=compat) as live:
        answer = await shared(live, kind, PICTURE)
        assert keys <= set(answer.json()), answer.text


async def test_json_is_answered_the_same_with_and_without_the_slash(settings: Settings) -> None:
    async with api_server(settings) as live:
        one, other = [
            await live.client.post(path, json=JSON)
            for path in ("/analyze_image", "/analyze_image/")
        ]
        assert (one.status_code, one.json()) == (other.status_code, other.json())
        assert one.status_code == 400
