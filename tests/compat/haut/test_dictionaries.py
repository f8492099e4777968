"""The dictionaries, for anybody who opens them in a browser."""

from typing import Any

import pytest

from tests.compat.haut.world import API, Haut

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer: nonsense"}, {"Accept": BROWSER}]
)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_image_types(haut: Haut, headers: dict[str, str], slash: str) -> None:
    answer = await haut.client.get(f"{API}/dicts/image_types{slash}", headers=headers)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    assert [(kind["id"], kind["tech_name"]) for kind in found] == [
        (1, "selfie"),
        (2, "skin"),
        (3, "visia"),
    ]
    for kind in found:
        assert set(kind) == {"id", "name", "tech_name", "sides", "lights"}
        for entry in (*kind["sides"], *kind["lights"]):
            assert set(entry) == {"id", "name", "tech_name"}
    selfie = found[0]
    assert [(s["id"], s["tech_name"]) for s in selfie["sides"]] == [
        (1, "front"),
        (2, "right"),
        (3, "left"),
    ]
    assert [(one["id"], one["tech_name"]) for one in selfie["lights"]] == [(1, "regular")]


@pytest.mark.parametrize("form", ["Bearer: {}", "Bearer {}", None])
async def test_algorithms(haut: Haut, form: str | None) -> None:
    headers = {"Authorization": form.format(haut.ours.token)} if form else {}
    answer = await haut.client.get(f"{API}/dicts/algorithms/", headers=headers)
    assert answer.status_code == 200
    found = answer.json()
    numbers = [one["id"] for one in found]
    assert {30, 40} <= set(numbers) and len(numbers) == len(set(numbers))
    for one in found:
        assert isinstance(one["id"], int) and "version" in one
        assert {"name", "tech_name"} <= set(one["algorithm_family"]) and one["tech_name"]
    names = {one["id"]: one["algorithm_family"]["tech_name"] for one in found}
    assert (names[30], names[40]) == ("selfie_v2.redness", "selfie_v2.face_detector")
