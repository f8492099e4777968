"""Nobody makes the server connect to what is not public: a real resolver, real addresses."""

import asyncio
import json
import sys
from typing import Any

import pytest
import pytest_asyncio

from tests.hostile import island
from tests.hostile.reaching import BAD, GOOD, REDIRECTS, WAYS

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not island.is_possible(),
        reason="this machine lets no process have a network of its own (user namespaces)",
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found() -> dict[str, Any]:
    """What came of everything that `tests.hostile.reaching` tries."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.island", "tests.hostile.reaching"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(output)
    return told


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_public_is_reached(found: dict[str, Any], way: str) -> None:
    assert found[way]["good"] == {host: {"told": "done", "inside": 0, "all": 1} for host in GOOD}


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_else_is_reached_by_any_form_of_its_address(
    found: dict[str, Any], way: str
) -> None:
    bad = found[way]["bad"]
    assert set(bad) == set(BAD)
    assert {host: one for host, one in bad.items() if one["all"] or one["told"] == "done"} == {}


@pytest.mark.parametrize("way", WAYS)
async def test_redirects_lead_nowhere_else(found: dict[str, Any], way: str) -> None:
    """A webhook follows none; whoever fetches is led on to nothing that is not public."""
    redirects = found[way]["redirects"]
    assert set(redirects) == set(REDIRECTS)
    for one in redirects.values():
        assert (one["inside"], one["all"]) == (0, 1) and one["told"] != "done"
    assert found[way]["later"]["inside"] == 0 and found[way]["later"]["all"] == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_name_that_changes_is_followed_to_what_was_checked(
    found: dict[str, Any], way: str
) -> None:
    """Every other answer of the name server is public, and only those are connected to."""
    tries = found[way]["rebinding"]
    assert sum(one["inside"] for one in tries) == 0
    assert [one["told"] == "done" for one in tries] == [True, True, False, False] * 4
    assert [one["all"] for one in tries] == [1, 1, 0, 0] * 4


@pytest.mark.parametrize("way", WAYS)
async def test_it_is_the_check_that_keeps_them_out(found: dict[str, Any], way: str) -> None:
    """With a host on the allow-list, the same server reaches it there."""
    assert found["allowed"][way] == {"told": "done", "inside": 1, "all": 1}
