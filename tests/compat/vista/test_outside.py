"""What holds around every route: paths that are none, methods, sizes, headers, other origins."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.compat.vista.conftest import PROXY_SECRET, Vista, vista_server, vista_settings
from tests.compat.vista.pipelines import documented, timestamped
from tests.conftest import LiveServer, serve
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
HERE, ELSEWHERE = "http://localhost:3000", "http://localhost:4000"
MOST = 2000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(module_settings: Settings) -> AsyncIterator[Vista]:
    """A server that takes small requests only, also from pages of one other origin."""
    changes = {
        "max_request_bytes": MOST,
        "cors_origins": (HERE,),
        "data_dir": module_settings.data_dir / "narrow",
    }
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        yield vista


@PREFIXES
async def test_paths_that_are_none(vista: Vista, prefix: str) -> None:
    detail = "API endpoint not found" if prefix == "/api" else "Not Found"
    for path in ("/nothing", "/", "/projects/x/y/z", "/analysis"):
        for method in ("GET", "POST"):
            answer = await vista.client.request(method, f"{prefix}{path}", headers=vista.user)
            assert (answer.status_code, answer.json()) == (404, {"detail": detail}), path


@PREFIXES
async def test_methods_that_a_path_has_not(vista: Vista, prefix: str) -> None:
    answer = await vista.client.delete(f"{prefix}/users/me", headers=vista.user)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["allow"] == "GET"


@PREFIXES
async def test_every_answer_has_the_headers_of_safety(vista: Vista, prefix: str) -> None:
    for path in ("/health", "/nothing", "/users/me"):
        answer = await vista.client.get(f"{prefix}{path}")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert policy == "default-src 'self'; img-src 'self' data:"
    # What came from outside is held more strictly, and says so once.
    picture = await vista.client.get(
        f"/api/images/{await vista.image()}/content", headers=vista.user
    )
    policies = picture.headers.get_list("content-security-policy")
    assert policies == ["default-src 'none'; sandbox"]
    assert picture.headers.get_list("x-content-type-options") == ["nosniff"]


@PREFIXES
@pytest.mark.parametrize("is_declared", [True, False])
async def test_requests_that_are_too_large(narrow: Vista, prefix: str, is_declared: bool) -> None:
    identity = await narrow.analysis()
    body = json.dumps({"annotations": [], "more": "x" * MOST}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 500):
            yield body[start : start + 500]

    signed = narrow.user | timestamped(body)
    for path in (f"/analyses/{identity}/annotations:bulk", "/projects", "/nothing"):
        content = body if is_declared else pieces()
        answer = await narrow.client.post(f"{prefix}{path}", content=content, headers=signed)
        if path == "/nothing" and not is_declared:
            assert answer.status_code == 404  # nothing of it was read
            continue
        assert answer.status_code == 413, (path, answer.text)
        assert answer.json() == {"detail": f"The request has more than {MOST} bytes"}
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_form_that_is_too_large(narrow: Vista) -> None:
    body = {"name": "p", "meta_group_id": "ours"}
    made = await narrow.client.post("/api/projects", json=body, headers=narrow.user)
    form = httpx.Request(
        "POST", "http://x", files={"file": ("a.png", solid_png(9, 9) + b"x" * MOST, "image/png")}
    )
    content = form.read()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 500):
            yield content[start : start + 500]

    answer = await narrow.client.post(
        f"/api/projects/{made.json()['id']}/images",
        content=pieces(),
        headers=narrow.user | {"Content-Type": form.headers["content-type"]},
    )
    assert answer.status_code == 413
    assert answer.json() == {"detail": f"The request has more than {MOST} bytes"}


async def test_other_doors_keep_their_own_form(narrow: Vista) -> None:
    answer = await narrow.client.post("/graphql", json={"query": "x" * MOST}, headers=narrow.user)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"]["code"] == "TOO_LARGE"


async def test_a_page_of_another_origin(narrow: Vista) -> None:
    asked = {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "x-ml-signature,x-user-email",
    }
    # Before anybody has said who is calling: a browser sends no credentials with this question.
    allowed = await narrow.client.options("/api/projects", headers={"Origin": HERE} | asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == HERE
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert "x-ml-signature" in allowed.headers["access-control-allow-headers"]
    refused = await narrow.client.options("/api/projects", headers={"Origin": ELSEWHERE} | asked)
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    seen = await narrow.client.get("/api/projects", headers=narrow.user | {"Origin": HERE})
    assert seen.headers["access-control-allow-origin"] == HERE
    too_large = await narrow.client.post(
        "/api/projects", content=b"x" * (MOST + 1), headers={"Origin": HERE}
    )
    assert too_large.headers["access-control-allow-origin"] == HERE


async def test_a_page_of_another_site_changes_nothing(module_settings: Settings) -> None:
    """What a browser sends without asking first: a form, or text that happens to be JSON."""
    folder = module_settings.data_dir / "forged"
    changes = {"cors_origins": (HERE,), "data_dir": folder}
    async with serve(module_settings.model_copy(update=changes)) as dev:
        body = json.dumps({"name": "p", "meta_group_id": "g"})
        url, refused = "/api/projects", {"detail": "Pages of this origin may not call"}

        async def make(**headers: str) -> httpx.Response:
            return await dev.client.post(
                url, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )

        for origin in (ELSEWHERE, "null", f"http://evil.example:{dev.port}", f"{dev.url}.evil"):
            answer = await make(origin=origin)
            assert (answer.status_code, answer.json()) == (403, refused), origin
        assert (await dev.client.get(url)).json() == []
        ours = [await make(), await make(origin=dev.url), await make(origin=HERE)]
        proxied = await make(origin="https://ours.example", sec_fetch_site="same-origin")
        assert [one.status_code for one in (*ours, proxied)] == [201] * 4
        project = ours[0].json()["id"]
        upload = await dev.client.post(
            f"{url}/{project}/images",
            files={"file": ("a.png", solid_png(9, 9), "image/png")},
            headers={"Origin": ELSEWHERE},
        )
        assert (upload.status_code, upload.json()) == (403, refused)
        assert (await dev.client.get(f"{url}/{project}/images")).json() == []


async def test_whoever_shows_a_key_has_meant_it(vista: Vista) -> None:
    body = {"name": "p", "meta_group_id": "ours"}
    foreign = {"Origin": ELSEWHERE}
    made = await vista.client.post("/api/projects", json=body, headers=vista.user | foreign)
    assert made.status_code == 201
    user = {"X-User-Email": "a@b.org", "X-Proxy-Secret": PROXY_SECRET}
    forged = await vista.client.post("/api/projects", json=body, headers=user | foreign)
    assert (forged.status_code, forged.json()["detail"][:5]) == (403, "Pages")


async def test_no_page_of_any_origin_comes_with_credentials(module_settings: Settings) -> None:
    changes = {"cors_origins": ("*",), "data_dir": module_settings.data_dir / "anywhere"}
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        answer = await vista.client.get(
            "/api/health", headers={"Origin": ELSEWHERE, "Cookie": "session=1"}
        )
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_groups_that_are_offered_in_dev_mode(module_settings: Settings) -> None:
    changes = {
        "vista_mock_user_groups": ("whales", "seals"),
        "data_dir": module_settings.data_dir / "offered",
    }
    async with serve(module_settings.model_copy(update=changes)) as dev:
        assert await groups(dev) == ["whales", "seals"]
        for group in ("seals", "another"):
            body = {"name": "p", "meta_group_id": group}
            assert (await dev.client.post("/api/projects", json=body)).status_code == 201
        assert sorted(await groups(dev)) == ["another", "seals", "whales"]


async def groups(dev: LiveServer) -> list[str]:
    found: list[str] = (await dev.client.get("/api/users/me/groups")).json()
    return found


async def test_an_answer_is_repeated_to_those_it_may_be_told(vista: Vista) -> None:
    identity = await vista.analysis()
    payload = {"annotations": [{"annotation_type": "box", "data": {"n": 1}}]}
    url = f"/analyses/{identity}/annotations:bulk"

    async def send(prefix: str, key: str | None) -> httpx.Response:
        user = {"X-API-Key": key} if key else {}
        return await vista.client.post(
            prefix + url, json=payload, headers=documented(payload) | user
        )

    first = await send("/api-key", vista.key)
    assert first.status_code == 201
    for prefix in ("/api", "/api-key", "/api-ml"):
        foreign = await send(prefix, vista.their_key)
        assert (foreign.status_code, foreign.json()) == (403, {"detail": "Access forbidden"})
        assert (await send(prefix, vista.key)).content == first.content
    assert (await send("/api", None)).content == first.content


async def test_a_refused_repeat_does_not_spoil_the_answer_of_the_right_one(vista: Vista) -> None:
    identity = await vista.analysis()
    payload = {"status": "completed"}
    url = f"/api/analyses/{identity}/finalize"

    async def send(key: str) -> httpx.Response:
        return await vista.client.post(
            url, json=payload, headers=documented(payload) | {"X-API-Key": key}
        )

    answers = await asyncio.gather(*(send(k) for k in (vista.their_key, vista.key) * 3))
    assert [answer.status_code for answer in answers] == [403, 200] * 3
    assert len({answer.content for answer in answers[1::2]}) == 1
