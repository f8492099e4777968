"""Every way in which clients show a token, and what is told to those without a good one."""

from typing import Any

import pytest
from starlette.requests import Request

from opsin.compat.haut.gate import token_of
from tests.compat.haut.world import ABSENT, API, Haut, fault

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD: list[dict[str, Any]] = [
    {"headers": {"Authorization": "Bearer T"}},
    {"headers": {"authorization": "bearer T"}},
    {"headers": {"Authorization": "Bearer: T"}},
    {"headers": {"Authorization": "T"}},
    {"headers": {"Authorization": "Bearer    T"}},
    {"headers": {"Authentication": "Bearer T"}},
    {"headers": {"authentication": "T"}},
    {"headers": {"access-token": "T"}},
    {"headers": {"Access-Token": "Bearer T"}},
    {"headers": {"X-API-Key": "T"}},
    {"headers": {"Cookie": "authorization=T"}},
    {"headers": {"Cookie": "theme=dark; authorization=T"}},
    {"params": {"token": "T"}},
    # A proxy's own scheme does not hide the token.
    {"headers": {"Authorization": "Basic abc"}, "params": {"token": "T"}},
    {"headers": {"Authorization": "Bearer T", "Cookie": "authorization=old"}},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "not_authenticated"),
    ({"headers": {"Authorization": ""}}, "not_authenticated"),
    ({"headers": {"Authorization": "Bearer"}}, "authentication_failed"),
    ({"headers": {"Authorization": "Bearer:"}}, "authentication_failed"),
    ({"headers": {"Authorization": "Basic a:b"}}, "authentication_failed"),
    ({"headers": {"Authorization": "Bearer nonsense"}}, "authentication_failed"),
    ({"headers": {"Authorization": "Bearer a b"}}, "authentication_failed"),
    ({"headers": {"Authorization": b"Bearer \xff\xfe"}}, "authentication_failed"),
    ({"params": {"token": "nonsense"}}, "authentication_failed"),
    ({"params": {"token": "a\x00b"}}, "authentication_failed"),
    ({"headers": {"Cookie": "authorization=nonsense"}}, "authentication_failed"),
]


def with_token(given: dict[str, Any], token: str) -> dict[str, Any]:
    """The request with the token where it says T."""
    return {
        part: {name: value.replace("T", token) for name, value in values.items()}
        for part, values in given.items()
    }


@pytest.mark.parametrize("given", GOOD, ids=str)
async def test_every_form_of_token_lets_in(haut: Haut, given: dict[str, Any]) -> None:
    request = with_token(given, haut.ours.token)
    answer = await haut.client.get(f"{haut.ours.company}/datasets/", **request)
    assert answer.status_code == 200, answer.text
    assert "next" in answer.json()


@pytest.mark.parametrize(("given", "code"), BAD, ids=str)
async def test_without_a_good_token(haut: Haut, given: dict[str, Any], code: str) -> None:
    answer = await haut.client.get(f"{haut.ours.company}/datasets/", **given)
    assert fault(answer, 401)["code"] == code
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_in_the_query_changes_nothing(haut: Haut) -> None:
    """It stands in logs: whoever finds it there may read for as long as it lives, no more."""
    path = f"{haut.ours.company}/datasets/"
    answer = await haut.client.post(path, params={"token": haut.ours.token}, json={"name": "x"})
    assert fault(answer, 401)["code"] == "not_authenticated"


async def test_a_page_of_another_site_cannot_use_the_cookie(haut: Haut) -> None:
    headers = {"Cookie": f"authorization={haut.ours.token}", "Origin": "https://evil.example"}
    path = f"{haut.ours.company}/datasets/"
    answer = await haut.client.post(path, headers=headers, json={"name": "x"})
    assert fault(answer, 403)["code"] == "permission_denied"
    # Its own pages can, and whoever shows the token on purpose.
    headers["Origin"] = haut.live.url
    assert (await haut.client.post(path, headers=headers, json={"name": "x"})).status_code == 201
    headers = {"Authorization": f"Bearer {haut.ours.token}", "Origin": "https://evil.example"}
    assert (await haut.client.post(path, headers=headers, json={"name": "x"})).status_code == 201


@pytest.mark.parametrize("other", ["theirs", "absent", "nonsense"])
async def test_a_company_that_is_not_the_callers(haut: Haut, other: str) -> None:
    company_id = {"theirs": haut.theirs.company_id, "absent": ABSENT, "nonsense": "x"}[other]
    status = 404 if other == "nonsense" else 403
    for path in ("", "/datasets/", f"/datasets/{ABSENT}/", "/datasets/short_list/"):
        answer = await haut.ours.ask("GET", f"{API}/companies/{company_id}{path}")
        code = fault(answer, status)["code"]
        assert code == ("not_found" if status == 404 else "permission_denied")


async def test_an_id_may_be_written_in_capitals(haut: Haut) -> None:
    dataset = await haut.ours.dataset()
    head, _, identity = dataset.rpartition("/")
    found = await haut.ours.get(f"{head}/{identity.upper()}/")
    assert found["id"] == identity


def request(**scope: Any) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [], "query_string": b""} | scope)


async def test_where_a_token_is_looked_for_first() -> None:
    headers = [(b"cookie", b"authorization=c"), (b"authentication", b"Bearer b")]
    assert token_of(request(headers=headers, query_string=b"token=d")) == "b"
    assert token_of(request(headers=headers[:1], query_string=b"token=d")) == "c"
    assert token_of(request(query_string=b"token=d")) == "d"
    assert token_of(request()) is None
