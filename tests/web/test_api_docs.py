"""The REST APIs described: one whole OpenAPI document, and two pages of it by themselves."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import expect

from opsin.settings import Settings
from opsin.web.openapi import Described, whole_document
from opsin.web.openapi_merge import merge_operations
from tests.compat.vista.cases import CASES, About, Signed
from tests.conftest import LiveServer, serve
from tests.web.browser import visit

KEY: list[dict[str, list[str]]] = [{"VISTA.apiKey": []}, {"VISTA.bearer": []}]
SIGNED: dict[str, list[str]] = {"VISTA.signature": [], "VISTA.timestamp": []}
METHODS = {"get", "put", "post", "delete", "head", "patch"}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (v for k, v in value.items() if k == "$ref")
        for inner in value.values():
            yield from references(inner)
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_document_is_whole(live: LiveServer) -> None:
    whole = (await live.client.get("/openapi.json")).json()
    assert whole["openapi"].startswith("3.1")
    served = {(m, p) for p, item in whole["paths"].items() for m in item}
    assert {(case.method.lower(), f"/api{case.path}") for case in CASES} <= served
    operations = [item[m] for item in whole["paths"].values() for m in item]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for reference in references(whole):
        head, _, name = reference.rpartition("/")
        assert head == "#/components/schemas" and name in whole["components"]["schemas"]
    for operation in operations:
        for way in operation.get("security", ()):
            assert set(way) <= set(whole["components"]["securitySchemes"])


async def test_the_document_is_grouped_by_api(live: LiveServer) -> None:
    whole = (await live.client.get("/openapi.json")).json()
    groups = {group["name"]: group["tags"] for group in whole["x-tagGroups"]}
    assert list(groups) == [*("Opsin", "Haut.AI", "VISTA", "PEKAT VISION", "image_embed", "whales")]
    used = {tag for item in whole["paths"].values() for m in item for tag in item[m]["tags"]}
    assert used == {tag["name"] for tag in whole["tags"]}
    assert used == {tag for tags in groups.values() for tag in tags}
    assert all(tag.startswith(name) for name, tags in groups.items() for tag in tags)


async def test_the_document_says_who_may_call(live: LiveServer) -> None:
    whole = (await live.client.get("/openapi.json")).json()
    for case in CASES:
        ways = {
            Signed.NEVER: [] if case.about is About.NOTHING else KEY,
            Signed.MAY: [SIGNED, *KEY],
            Signed.MUST: [SIGNED],
        }[case.signed]
        told = whole["paths"][f"/api{case.path}"][case.method.lower()]["security"]
        assert told == ways, case


async def test_what_is_not_served_is_not_described(settings: Settings) -> None:
    async with serve(settings.model_copy(update={"compat": ()})) as live:
        whole = (await live.client.get("/openapi.json")).json()
        assert {
            tag for item in whole["paths"].values() for m in item for tag in item[m]["tags"]
        } == {"Opsin"}
        for path in ("/health", "/metrics"):
            assert (await live.client.get(path)).status_code == 200
            assert path in whole["paths"]


@pytest.mark.parametrize("dark", [False, True])
async def test_swagger_ui_shows_and_tries_operations(live: LiveServer, dark: bool) -> None:
    async with visit(live, dark=dark) as window:
        page = window.page
        await page.goto(f"{live.url}/docs")
        await expect(page.locator(".opblock-tag-section").first).to_be_visible()
        tags = await page.locator(".opblock-tag-section h3").all_inner_texts()
        assert any("PEKAT VISION" in tag for tag in tags) and any("whales" in tag for tag in tags)
        await page.get_by_role("heading", name="Opsin", exact=False).last.click()
        await page.locator("#operations-Opsin-Opsin_get_health .opblock-summary-control").click()
        await page.get_by_role("button", name="Execute").click()
        answer = page.locator(".live-responses-table .response-col_description pre").first
        await expect(answer).to_contain_text('"status": "ok"')


async def test_redoc_shows_every_api(live: LiveServer) -> None:
    async with visit(live) as window:
        page = window.page
        await page.goto(f"{live.url}/redoc")
        for name in ("PEKAT VISION", "image_embed", "whales", "VISTA: callbacks"):
            await expect(page.get_by_role("menuitem").filter(has_text=name).first).to_be_visible()
        await expect(page.get_by_text("/analyze_raw_image").first).to_be_attached()


async def test_an_api_with_a_page_of_its_own(live: LiveServer) -> None:
    """Where its clients look for it; it shows nobody else's operations, and they can be tried."""
    async with visit(live) as window:
        page = window.page
        await page.goto(f"{live.url}/api/swagger/")
        await page.locator(".opblock-tag-section h3").first.wait_for()
        tags = await page.locator(".opblock-tag-section h3").all_inner_texts()
        assert len(tags) >= 7 and all("Haut.AI" in tag for tag in tags), tags
        await page.get_by_role("heading", name="dictionaries").click()
        operation = page.locator("[id$=get_api_v1_dicts_image_types]")
        await operation.locator(".opblock-summary-control").click()
        await operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response-col_description pre").first
        await expect(answer).to_contain_text('"tech_name": "selfie"')


async def test_the_pages_are_closed_to_everything_else(live: LiveServer) -> None:
    for path in ("/docs", "/redoc"):
        answer = await live.client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def described(title: str, path: str, operation: dict[str, Any]) -> Described:
    document = {
        "info": {"title": title},
        "paths": {path: {"post": operation}},
        "components": {"schemas": {"Error": {"title": title}}},
    }
    return Described(title, lambda: document)


def test_two_apis_with_one_path_are_one_operation() -> None:
    """It takes what either takes; names that both have stay apart."""

    def operation(kind: str, status: str) -> dict[str, Any]:
        error = {"schema": {"$ref": "#/components/schemas/Error"}}
        return {
            "summary": kind,
            "parameters": [{"in": "query", "name": kind, "required": True}],
            "requestBody": {"required": True, "content": {kind: {"schema": {}}}},
            "responses": {
                "200": {"description": kind, "content": {kind: {"schema": {}}}},
                status: {"description": "bad", "content": {"application/json": error}},
            },
        }

    whole = whole_document(
        "1",
        [
            described("One API", "/same", operation("image/png", "400")),
            described("Other", "/same", operation("application/json", "400")),
        ],
    )
    [merged] = [item["post"] for item in whole["paths"].values()]
    assert set(merged["requestBody"]["content"]) == {"image/png", "application/json"}
    assert merged["requestBody"]["required"] is True
    assert [one["required"] for one in merged["parameters"]] == [False, False]
    assert merged["tags"] == ["One API", "Other"]
    assert set(merged["responses"]["200"]["content"]) == {"image/png", "application/json"}
    told = merged["responses"]["400"]["content"]["application/json"]["schema"]["anyOf"]
    assert [one["$ref"].rpartition("/")[2] for one in told] == ["One_API.Error", "Other.Error"]
    assert set(whole["components"]["schemas"]) == {"One_API.Error", "Other.Error"}


def test_a_body_that_only_one_of_two_takes_is_not_required() -> None:
    body = {"required": True, "content": {"image/png": {}}}
    merged = merge_operations({"requestBody": body, "security": [{"a": []}]}, {})
    assert merged["requestBody"] == {"required": False, "content": {"image/png": {}}}
    assert "security" not in merged
