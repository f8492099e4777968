"""Every REST route that is mounted, asked by every kind of caller; VISTA's have their own matrix.

Routes are read from the application, so that one without a line here fails.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from opsin.app import create_app
from opsin.assembly import assemble
from opsin.compat.endpoint import Endpoint
from opsin.core.access import Principal
from opsin.core.roles import Role
from opsin.settings import Settings
from opsin.storage.tables import api_keys
from tests.compat.documented_surface import HAUT, IMAGE_EMBED, PEKAT, WHALES
from tests.compat.documented_surface import Row as Documented
from tests.compat.world import World, world
from tests.graphql.conftest import new_key, revoke

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"
_VISTA = ("/api", "/api-key", "/api-ml")
_DENIED = (401, 403, 404)
PICTURE_URL = "http://127.0.0.1:9/a.png"
"""Nobody is there, and nobody gets as far as to look."""

OPEN = frozenset({
    *("/", "/health", "/ready", "/metrics", "/openapi.json", "/docs", "/redoc", "/ping"),
    *("/api/swagger", "/api/swagger/openapi.json"),
    # They say who calls, and count their tries.
    *("/api/v1/login", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/refresh"),
    *("/version", "/available_operations"),
    # The same for all.
    *("/api/v1/dicts/algorithms", "/api/v1/dicts/image_types"),
})  # fmt: skip
"""Paths that anybody may ask for, without the slash at their end."""

LINKS = frozenset({
    *("/images/{image_id:uuid}/content", "/images/{image_id:uuid}/thumbnail"),
    *("/artifacts/{artifact_id:uuid}/content", "/images/{image_id:uuid}/report"),
    *("/exports/datasets/{id:uuid}", "/exports/images/{id:uuid}", "/exports/analyses/{id:uuid}"),
    "/uploads/{upload_id:uuid}",
})  # fmt: skip
"""Paths that a signature in the address opens; some of them a key as well."""

OFF = frozenset({"/stop", "/analyze_image_shared_memory"})
"""What operators must switch on first."""

NAMED = {
    "id": "dataset_id",
    "id:uuid": "dataset_id",
    "image_id:uuid": "image_id",
    "artifact_id:uuid": "",
    "upload_id:uuid": "",
    "webhook_id": "",
}
"""Parameters that are called otherwise than what they name; nothing where there is none of it."""


@dataclass(frozen=True, slots=True)
class Callers:
    """A server with keys, and what callers of each kind show."""

    world: World
    nobody: Mapping[str, Mapping[str, str]]
    """Those whose tokens are good for nothing."""
    theirs: Mapping[str, str]
    viewer: Mapping[str, str]
    elsewhere: Mapping[str, str]
    """An administrator of another dataset of the same company, and of nothing else."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callers]:
    changes: dict[str, object] = {"auth": "keys", "data_dir": tmp_path_factory.mktemp("rest")}
    settings = module_settings.model_copy(update=changes)
    async with world(settings, PICTURE_URL) as made, assemble(settings).running() as parts:
        use_cases = parts.use_cases
        company = await use_cases.access.ensure_company("local")
        owner = Principal(company.id, "the operator")
        other = await use_cases.datasets.create(owner, "elsewhere")

        async def key(role: Role, *datasets: str) -> str:
            return (await use_cases.api_keys.create(owner, "k", role=role, dataset_ids=datasets))[1]

        revoked = await new_key(parts, "local")
        await revoke(parts, revoked)
        soon = datetime.now(UTC) + timedelta(hours=1)
        old, expired = await use_cases.api_keys.create(owner, "old", expires_at=soon)
        async with use_cases.database.write() as transaction:
            over = update(api_keys).where(api_keys.c.id == old.id)
            await transaction.connection.execute(over.values(expires_at=datetime.now(UTC)))
        shown = {"revoked": revoked, "expired": expired, "made up": "opsin_000000000000_0"}
        yield Callers(
            made,
            {"nobody": {"X-API-Key": ""}} | {name: _shows(one) for name, one in shown.items()},
            _shows(await new_key(parts, "theirs")),
            _shows(await key(Role.VIEWER)),
            _shows(await key(Role.ADMIN, other.id)),
        )


def _shows(key: str) -> dict[str, str]:
    return {"X-API-Key": key, "Authorization": f"Bearer {key}"}


def mounted(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of every route but VISTA's, files that are the same for all, and GraphQL."""
    for route in routes:
        if isinstance(route, Mount):
            inner: Any = route.app
            while not hasattr(inner, "routes") and hasattr(inner, "app"):
                inner = inner.app
            if route.path in _VISTA:
                continue
            if hasattr(inner, "routes"):
                yield from mounted(inner.routes, prefix + route.path)
            else:
                assert route.path.startswith("/static/"), route.path
        elif isinstance(route, WebSocketRoute):
            yield "SOCKET", prefix + route.path
        else:
            assert isinstance(route, Route), route
            if route.path != "/graphql":
                for method in _methods(route):
                    yield method, prefix + route.path


def _methods(route: Route) -> Sequence[str]:
    if route.methods:
        return sorted(set(route.methods) - {"HEAD"})
    if isinstance(route.endpoint, Endpoint):
        return sorted(set(route.endpoint._handlers) - {"HEAD"})
    return ["POST"]  # either of the two that have one path


def served() -> list[tuple[str, str]]:
    settings = Settings(auth="keys", worker=False, webhooks=False, offline=True)
    found = set(mounted(create_app(settings).routes))
    # Most paths are served with a slash at their end and without.
    return sorted(one for one in found if (one[0], f"{one[1]}/") not in found)


def is_among(path: str, paths: frozenset[str]) -> bool:
    return path.rstrip("/") in {one.rstrip("/") for one in paths}


def url_of(path: str, names: Mapping[str, str]) -> str:
    """The address with the ids of things in it."""
    for part in path.split("/"):
        for braced in (piece for piece in part.split("{")[1:] if "}" in piece):
            name = braced.partition("}")[0]
            known = names.get(NAMED.get(name, name.partition(":")[0]), NO_SUCH_ID)
            path = path.replace(f"{{{name}}}", known)
    return path


async def ask(
    callers: Callers, method: str, path: str, headers: Mapping[str, str], **request: Any
) -> httpx.Response:
    # Not the world's own way, which adds the token of its user.
    client = callers.world.live.client
    if method in ("POST", "PUT", "PATCH") and not request:
        request = {"json": {}}
    return await client.request(method, path, headers=dict(headers), **request)


REST = [one for one in served() if one[0] != "SOCKET"]


@pytest.mark.parametrize(("method", "path"), REST)
async def test_nobody_gets_in_without_a_good_key(callers: Callers, method: str, path: str) -> None:
    url = url_of(path, callers.world.names)
    for name, headers in callers.nobody.items():
        answer = await ask(callers, method, url, headers)
        if is_among(path, OPEN):
            # Some of these must not even look at a token that is no good.
            assert answer.status_code < 500 and answer.status_code != 403, (name, answer.text)
        elif is_among(path, OFF):
            assert answer.status_code in _DENIED, (name, answer.text)
        elif is_among(path, LINKS):
            assert answer.status_code in (400, *_DENIED), (name, answer.text)
        else:
            assert answer.status_code == 401, (name, answer.status_code, answer.text)
        assert not told(callers, answer), (name, answer.text)


@pytest.mark.parametrize("who", ["theirs", "elsewhere"])
@pytest.mark.parametrize(("method", "path"), REST)
async def test_nothing_is_told_to_who_does_not_reach_it(
    callers: Callers, method: str, path: str, who: str
) -> None:
    """Another company's key, and an administrator's of another dataset of this company."""
    headers = callers.theirs if who == "theirs" else callers.elsewhere
    answer = await ask(callers, method, url_of(path, callers.world.names), headers)
    assert answer.status_code < 500, answer.text
    assert not told(callers, answer), answer.text[:2000]
    names_thing = any(f"{{{name}" in path for name in ("dataset_id", "image_id", "subject_id"))
    if names_thing and not is_among(path, OPEN):
        assert answer.status_code in _DENIED or is_among(path, LINKS), (path, answer.text)


def told(callers: Callers, answer: httpx.Response) -> list[str]:
    """Ids of things that an answer has, though its request was not for them to know."""
    hidden = ("subject_id", "batch_id", "image_id", "analysis_id", "dataset_id", "key_id")
    asked = str(answer.request.url)
    ids = {callers.world.names[name] for name in hidden}
    return [one for one in ids if one in answer.text and one not in asked]


DOCUMENTED = [
    row
    for row in (*PEKAT, *IMAGE_EMBED, *WHALES, *HAUT)
    if row.method != "GET" and row.status < 300 and not row.strict and not row.headers
]
"""Requests that do something, as the documents of the APIs have them."""


@pytest.mark.parametrize("row", DOCUMENTED, ids=lambda row: f"{row.method} {row.path}")
async def test_who_may_only_read_does_nothing_else(callers: Callers, row: Documented) -> None:
    request = dict(row.request(callers.world))
    headers = dict(callers.viewer) | dict(request.pop("headers", {}))
    path = row.path.format_map(callers.world.names)
    answer = await ask(callers, row.method, path, headers, **request)
    if is_among(row.path, OPEN) or row.path.endswith("/pdf/"):
        assert answer.is_success, answer.text  # it is as good as reading
    elif "/predict-" in row.path:
        # Without weights it is told before anything that there are none.
        assert answer.status_code in (403, 503), (answer.status_code, answer.text)
    else:
        assert answer.status_code in (401, 403), (answer.status_code, answer.text)


@pytest.mark.parametrize("path", [path for method, path in served() if method == "SOCKET"])
async def test_no_socket_is_opened_for_nobody(callers: Callers, path: str) -> None:
    """GraphQL's is opened first and asks then; `connection_init` is tried elsewhere."""
    url = f"ws://127.0.0.1:{callers.world.live.port}{path}"
    if path == "/graphql":
        return
    for headers in callers.nobody.values():
        with pytest.raises(InvalidStatus) as refused:
            async with connect(
                f"{url}?company_id={callers.world.names['company_id']}",
                additional_headers=dict(headers),
            ):
                pass  # fmt: skip
        assert refused.value.response.status_code in _DENIED


async def test_every_path_that_is_named_here_is_served() -> None:
    paths = {path.rstrip("/") for _, path in served()}
    assert {one.rstrip("/") for one in (*OPEN, *LINKS, *OFF)} <= paths
