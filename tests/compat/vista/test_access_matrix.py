"""Every mounted route, asked by every kind of caller on every prefix: who gets in, and who not.

What is expected is said here once, in words of the contract and not of the code; the routes are
read from the application itself, so that one without an entry fails.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import update
from starlette.routing import BaseRoute, Mount

from opsin.app import create_app
from opsin.compat.vista.callers import ADMINISTRATORS
from opsin.core.use_cases import UseCases
from opsin.settings import Settings
from opsin.storage.tables import api_keys
from tests.compat.vista.cases import (
    CASES,
    About,
    Case,
    Signed,
    World,
    make_world,
    request_of,
    sign,
)
from tests.compat.vista.conftest import PROXY_SECRET, Vista, vista_server, vista_settings
from tests.compat.vista.pipelines import SECRET

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = ("/api", "/api-key", "/api-ml")
DENIED = (401, 403, 404)


@dataclass(frozen=True, slots=True)
class Who:
    """A kind of caller: what they show, whether it is good, and whether it reaches the things."""

    shows: str | None
    """`key` or `user` (by the proxy's headers)."""
    is_valid: bool = True
    is_member: bool = True
    signature: str | None = "good"
    """`good`, `bad` or none."""


WHO = {
    "no credentials": Who(None, signature=None),
    "foreign user": Who("user", is_member=False),
    "foreign key": Who("key", is_member=False),
    "revoked key": Who("key", is_valid=False),
    "key of an account that is switched off": Who("key", is_valid=False),
    "made-up key": Who("key", is_valid=False),
    "user without the proxy's secret": Who("user", is_valid=False),
    "right key": Who("key"),
    "right user": Who("user"),
    "session of a member": Who("key"),
    "session that was ended": Who("key", is_valid=False),
    "private token of a member": Who("key"),
    "private token that has expired": Who("key", is_valid=False),
    "member of a company that is linked to it": Who("key"),
    "member of a company that it is linked to": Who("key", is_member=False),
    "right key, not signed": Who("key", signature=None),
    "right user, not signed": Who("user", signature=None),
    "right key, badly signed": Who("key", signature="bad"),
    "signature only": Who(None),
    "bad signature only": Who(None, signature="bad"),
}


def expected(case: Case, prefix: str, who: Who, *, is_dev: bool = False) -> int:
    """The status that the contract has for this caller on this route."""
    if case.about is About.NOTHING:
        return case.status
    is_signed = who.signature == "good"
    is_user = is_dev and prefix == "/api"
    if who.shows == "key" or (who.shows == "user" and prefix == "/api"):
        if not who.is_valid and not is_user:
            return 401
        is_user = True
    if prefix != "/api" and not is_user:
        return 401
    if prefix == "/api-ml" and not is_signed:
        return 401
    if case.signed is Signed.MUST and not is_signed:
        return 401
    if case.signed is Signed.MAY and who.signature == "bad":
        return 401
    is_callback = case.signed is not Signed.NEVER
    if not is_user and not (is_callback and is_signed):
        return 401
    if case.about is About.USERS and not is_dev:
        return 403
    if is_user and not who.is_member:
        return {About.THING: 403, About.OWN_KEY: 404}.get(case.about, case.status)
    return case.status


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def headers(any_vista: Vista) -> dict[str, dict[str, str]]:
    """What each kind of caller sends beside a signature."""
    use_cases = any_vista.parts.use_cases
    keys, memberships, accounts = use_cases.api_keys, use_cases.memberships, use_cases.accounts
    revoked, text = await keys.create(any_vista.ours, "a key that ends")
    await keys.revoke(any_vista.ours, revoked.id)
    await memberships.add("ours", "member@example.org")
    await memberships.add("theirs", "stranger@example.org")
    client, off = any_vista.client, {"X-User-Email": "off@example.org"}
    await memberships.add("ours", "off@example.org")
    off |= {"X-Proxy-Secret": PROXY_SECRET}
    made = await client.post("/api/api-keys", json={"name": "k"}, headers=off)
    account = await accounts.of_email("off@example.org")
    await accounts.set_active(account.id, False)

    def user(email: str, secret: str = PROXY_SECRET) -> dict[str, str]:
        return {"X-User-Email": email, "X-Proxy-Secret": secret}

    right, member = {"X-API-Key": any_vista.key}, user("member@example.org")
    return {
        "no credentials": {},
        "foreign user": user("stranger@example.org"),
        "foreign key": {"Authorization": f"Bearer {any_vista.their_key}"},
        "revoked key": {"X-API-Key": text},
        "key of an account that is switched off": {"X-API-Key": made.json()["key"]},
        "made-up key": {"Authorization": "Bearer opsin_000000000000_0"},
        "user without the proxy's secret": user("member@example.org", "a guess"),
        "right key": right,
        "right user": member,
        **await tokens_of_accounts(any_vista.parts.use_cases),
        "right key, not signed": right,
        "right user, not signed": member,
        "right key, badly signed": right,
        "signature only": {},
        "bad signature only": {},
    }


async def tokens_of_accounts(use_cases: UseCases) -> dict[str, dict[str, str]]:
    """What people show who have signed in, and their programs."""
    accounts, companies = use_cases.accounts, use_cases.companies
    for name in ("ours", "partners", "suppliers", ADMINISTRATORS):
        await use_cases.access.ensure_company(name)
        await accounts.create(f"at@{name}.example.org", company=name, password="correct horse")
    await companies.link("partners", "ours")
    await companies.link("partners", ADMINISTRATORS)  # which makes nobody an administrator
    await companies.link("ours", "suppliers")

    async def signed_in(company: str) -> str:
        made = await use_cases.sessions.login(f"at@{company}.example.org", "correct horse")
        return made.access_token

    ended, session = await signed_in("ours"), await signed_in("ours")
    await use_cases.sessions.logout(await use_cases.access.authenticate(ended))
    caller = await use_cases.access.authenticate(session)
    _, private = await use_cases.private_tokens.create(caller, "a script")
    old, expired = await use_cases.private_tokens.create(caller, "an old script")
    async with use_cases.database.write() as transaction:
        over = update(api_keys).where(api_keys.c.id == old.id)
        await transaction.connection.execute(over.values(expires_at=datetime.now(UTC)))
    shown = {
        "session of a member": session,
        "session that was ended": ended,
        "private token of a member": private,
        "private token that has expired": expired,
        "member of a company that is linked to it": await signed_in("partners"),
        "member of a company that it is linked to": await signed_in("suppliers"),
    }
    return {name: {"Authorization": f"Bearer {text}"} for name, text in shown.items()}


@pytest.mark.parametrize("name", WHO)
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_who_gets_where(
    any_vista: Vista, headers: dict[str, dict[str, str]], prefix: str, name: str
) -> None:
    who, client = WHO[name], any_vista.client
    # Things of the caller's own where they may have some, so that nothing but the route decides.
    is_right = who.is_valid and who.is_member and who.shows is not None
    maker = headers[name] if is_right else any_vista.user
    world = await make_world(client, maker)
    world["user_id"] = (await any_vista.parts.use_cases.accounts.of_email("else@example.org")).id
    before = await snapshot(client, world, maker)
    wrong, is_changed = [], False
    for case in CASES:
        status = expected(case, prefix, who)
        answer = await ask(client, case, world, headers[name], who, prefix)
        is_changed |= status not in DENIED and case.method != "GET" and about_world(case)
        if answer.status_code != status:
            wrong.append((case.method, case.path, answer.status_code, f"not {status}", answer.text))
        elif status in DENIED:
            assert set(answer.json()) == {"detail"}, case
            assert ("www-authenticate" in answer.headers) is (status == 401)
            assert not tells(answer.json()["detail"], world), answer.text
    assert wrong == []
    assert is_changed or await snapshot(client, world, maker) == before


@pytest.mark.parametrize("signature", ["good", "bad", None])
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_dev_mode_lets_everyone_be_the_local_user(
    any_dev: httpx.AsyncClient, prefix: str, signature: str | None
) -> None:
    who = Who(None, signature=signature)
    world = await make_world(any_dev, {})
    user = {"email": f"{world['key_id']}@else.example.org"}
    world["user_id"] = (await any_dev.post("/api/users", json=user)).json()["id"]
    for case in CASES:
        answer = await ask(any_dev, case, world, {}, who, prefix)
        status = expected(case, prefix, who, is_dev=True)
        assert answer.status_code == status, (case, answer.text)


async def test_every_mounted_route_is_in_the_matrix(module_settings: Settings) -> None:
    app = create_app(vista_settings(module_settings))
    listed = [(case.method, case.path) for case in CASES]
    assert len(set(listed)) == len(listed)
    for prefix in PREFIXES:
        served = list(mounted(app.routes, prefix))
        for form in ("", "/"):
            found = {(m, p.removesuffix("/")) for m, p in served if p.endswith("/") is bool(form)}
            assert found == set(listed), (prefix, form)


def mounted(routes: list[BaseRoute], prefix: str) -> Iterator[tuple[str, str]]:
    """Method and path of every route below the prefix, whatever is wrapped around them."""
    for mount in (r for r in routes if isinstance(r, Mount) and r.path == prefix):
        inner: Any = mount.app
        while not isinstance(inner, FastAPI):
            inner = inner.app
        for route in inner.routes:
            assert isinstance(route, APIRoute), f"{route} is behind no gate"
            yield from ((method, route.path) for method in route.methods or ())


async def ask(
    client: httpx.AsyncClient,
    case: Case,
    world: World,
    headers: dict[str, str],
    who: Who,
    prefix: str,
) -> httpx.Response:
    request = request_of(client, case, world, headers, prefix=prefix)
    if who.signature is not None:
        sign(request, secret=SECRET if who.signature == "good" else "a guess")
    return await client.send(request)


def about_world(case: Case) -> bool:
    return case.about in (About.THING, About.OWN_KEY)


def tells(detail: Any, world: World) -> bool:
    """Whether a refusal names anything that the caller may not know of."""
    text = json.dumps(detail)
    return any(world[name] in text for name in ("project_id", "image_id", "analysis_id"))


async def snapshot(client: httpx.AsyncClient, world: World, headers: dict[str, str]) -> list[Any]:
    """Everything there is in the world, as who made it sees it."""
    project, image = f"/api/projects/{world['project_id']}", f"/api/images/{world['image_id']}"
    paths = [
        project,
        f"{project}/images?include_deleted=true",
        f"{project}/images/deletion-events",
        f"{project}/classes",
        f"{project}/metadata",
        f"{image}/classifications",
        f"{image}/comments",
        f"{image}/analyses",
        f"/api/analyses/{world['analysis_id']}",
        f"/api/ml/artifacts/content?path=ml_outputs/{world['analysis_id']}/a.png",
    ]
    answers = [await client.get(path, headers=headers) for path in paths]
    assert all(answer.is_success for answer in answers)
    keys = (await client.get("/api/api-keys", headers=headers)).json()
    mine = next(key["is_active"] for key in keys if key["id"] == world["key_id"])
    return [*(answer.text for answer in answers), mine]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def any_dev(any_module_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in dev mode, on each kind of database."""
    async with vista_server(vista_settings(any_module_settings, auth="dev")) as server:
        yield server.client
