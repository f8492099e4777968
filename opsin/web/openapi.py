"""The REST APIs as one OpenAPI document, and two pages of it that work without the internet."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from opsin.web.openapi_merge import merge_operations

PAGE_DIR = Path(str(files("opsin.web") / "api_docs"))
# To be served at /static/api-docs/, which is where the pages look for their scripts.
_STATIC = "/static/api-docs"
_DOCUMENT = "/openapi.json"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
        # Both pages style their elements one by one.
        "style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ABOUT = (
    "Everything that this server answers besides GraphQL, grouped by API. Each API has its own "
    "errors and its own way to say who calls."
)
_METHODS = ("get", "post", "put", "patch", "delete", "head")

Document = Mapping[str, Any]
Description = Callable[[], Document]
"""Makes the OpenAPI document of one API, its paths without the prefix that it is served at."""


@dataclass(frozen=True, slots=True)
class Described:
    """An API's own document, and the prefix of its paths; `title` is what the API is called."""

    title: str
    describe: Description
    prefix: str = ""


class ApiDocuments:
    """Routes `/openapi.json`, and `/docs` and `/redoc`, which show it."""

    def __init__(self, version: str, described: Sequence[Described]) -> None:
        self._version = version
        self._described = tuple(described)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(_DOCUMENT, self.document),
            Route("/docs", self.swagger),
            Route("/redoc", self.redoc),
            Mount(_STATIC, StaticFiles(directory=PAGE_DIR)),
        ]

    async def document(self, _request: Request) -> Response:
        """Everything that is described, as OpenAPI 3.1."""
        return JSONResponse(self._whole, headers={"Cache-Control": "no-cache"})

    async def swagger(self, _request: Request) -> Response:
        """To try it."""
        return _page("swagger.html")

    async def redoc(self, _request: Request) -> Response:
        """To read it."""
        return _page("redoc.html")

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return whole_document(self._version, self._described)


def one_api_routes(path: str, version: str, described: Described) -> list[BaseRoute]:
    """A page at `path`, with and without a slash, that shows one API alone, and its document."""
    where = f"{path}/openapi.json"

    @cache
    def whole() -> dict[str, Any]:
        return whole_document(version, [described])

    async def page(_request: Request) -> Response:
        return _page("swagger.html", where)

    async def document(_request: Request) -> Response:
        return JSONResponse(whole(), headers={"Cache-Control": "no-cache"})

    return [Route(where, document), Route(path, page), Route(f"{path}/", page)]


def whole_document(version: str, described: Sequence[Described]) -> dict[str, Any]:
    """The documents in one.

    Schemas are named after their API, and so are tags; an operation that two APIs have takes what
    either takes and answers what either answers.
    """
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {}
    tags: list[dict[str, str]] = []
    groups: list[dict[str, Any]] = []
    for one in described:
        part = _scoped(one)
        for path, item in part["paths"].items():
            there = paths.setdefault(one.prefix + path, {})
            for method in [name for name in _METHODS if name in item]:
                own = item[method]
                there[method] = merge_operations(there[method], own) if method in there else own
        for kind, found in part.get("components", {}).items():
            components.setdefault(kind, {}).update(found)
        names = dict.fromkeys(
            tag
            for item in part["paths"].values()
            for method in _METHODS
            for tag in item.get(method, {}).get("tags", ())
        )
        about = str(part["info"].get("description", ""))
        tags += [
            {"name": name, "description": about if name == one.title else ""} for name in names
        ]
        groups.append({"name": one.title, "tags": list(names)})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Opsin",
            "version": version,
            "description": "\n\n".join([_ABOUT, *_abouts(described)]),
        },
        "tags": tags,
        "x-tagGroups": groups,
        "paths": paths,
        "components": components,
    }


def _abouts(described: Sequence[Described]) -> list[str]:
    """What each API says of itself."""
    texts = [(one.title, str(one.describe()["info"].get("description", ""))) for one in described]
    return [f"**{title}**. {text}" for title, text in texts]


def _scoped(one: Described) -> dict[str, Any]:
    """The API's document with names that no other has: of schemas, keys, tags and operations."""
    scope = re.sub(r"\W+", "_", one.title).strip("_")
    text = json.dumps(one.describe())
    part: dict[str, Any] = json.loads(
        text.replace('"#/components/schemas/', f'"#/components/schemas/{scope}.')
    )
    components = part.get("components", {})
    for kind in ("schemas", "securitySchemes"):
        if kind in components:
            components[kind] = {f"{scope}.{k}": v for k, v in components[kind].items()}
    for path, item in part["paths"].items():
        for method in [name for name in _METHODS if name in item]:
            operation = item[method]
            operation["operationId"] = re.sub(r"\W+", "_", f"{scope}_{method}{path}").strip("_")
            operation["tags"] = [_tag(one.title, tag) for tag in operation.get("tags") or [""]][:1]
            if "security" in operation:
                operation["security"] = [
                    {f"{scope}.{name}": scopes for name, scopes in way.items()}
                    for way in operation["security"]
                ]
    return part


def _tag(title: str, tag: str) -> str:
    return title if tag in ("", title) else f"{title}: {tag}"


def _page(name: str, document: str = _DOCUMENT) -> Response:
    """The page, showing the document at this path."""
    text = (PAGE_DIR / name).read_text("utf-8").replace(_DOCUMENT, document)
    return HTMLResponse(text, headers=_HEADERS)
