"""The short way past FastAPI: whatever is sent, its answer is the one that FastAPI's way gives."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.types import Scope

from opsin.compat.vista.direct import DirectDoor, DirectRoute
from tests.compat.vista.conftest import Vista
from tests.compat.vista.pipelines import timestamped

pytestmark = pytest.mark.asyncio(loop_scope="module")

Request = tuple[str, str, bytes, dict[str, str]]
JSON = {"content-type": "application/json"}
NEW = b'{"model_name": "yolo_v8", "model_version": "1", "parameters": {"t": 0.50}}'
ROWS = b'{"annotations": [{"annotation_type": "box", "data": {}}]}'

# With {image} and {analysis}, which are the caller's.
ODD: list[Request] = [
    ("POST", "/images/{image}/analyses", NEW, JSON),
    ("POST", "/images/{image}/analyses/", NEW, {}),
    ("POST", "/images/{image}/analyses", NEW, {"content-type": "application/json; charset=UTF-8"}),
    ("POST", "/images/{image}/analyses", NEW, {"content-type": "text/plain"}),
    ("POST", "/images/{image}/analyses", b"", JSON),
    ("POST", "/images/{image}/analyses", b"{", JSON),
    ("POST", "/images/{image}/analyses", b"[]", JSON),
    ("POST", "/images/{image}/analyses", b"null", JSON),
    ("POST", "/images/{image}/analyses", b"\xff", JSON),
    ("POST", "/images/{image}/analyses", b'{"model_name": "\\ud800x"}', JSON),
    ("POST", "/images/{image}/analyses", b'{"model_name": "a.b", "model_version": ""}', JSON),
    ("POST", "/images/{image}/analyses", NEW[:-1] + b', "parameters": [1]}', JSON),
    ("POST", "/images/{image}/analyses", NEW[:-1] + b', "parameters": {"n": NaN}}', JSON),
    ("POST", "/images/{image}/analyses", NEW[:-1] + b', "image_id": "x"}', JSON),
    ("POST", "/images/{image}/analyses", b"[" * 5000, JSON),
    ("POST", "/images/{image}/analyses", NEW[:-1] + b" " * 70_000 + b"}", JSON),
    ("POST", "/images/{image}/analyses?skip=1", NEW, JSON),
    ("POST", "/images/{IMAGE}/analyses", NEW, JSON),
    ("POST", "/images/none/analyses", NEW, JSON),
    ("GET", "/images/{image}/analyses", b"", {}),
    ("GET", "/images/{image}/analyses?limit=1&skip=1", b"", {}),
    ("GET", "/images/{image}/analyses?limit=501", b"", {}),
    ("GET", "/images/{image}/analyses?limit=-1", b"", {}),
    ("GET", "/images/{image}/analyses?limit=1&limit=2", b"", {}),
    ("GET", "/images/{image}/analyses?limit=", b"", {}),
    ("GET", "/images/{image}/analyses?unknown=1", b"", {}),
    ("GET", "/images/{image}/analyses?image_id=7", b"", {}),
    ("GET", "/images/{image}/analyses?limit=%31", b"", {}),
    ("GET", "/analyses/{analysis}", b"", {}),
    ("GET", "/analyses/{analysis}/", b"", {}),
    ("GET", "/analyses/{analysis}//", b"", {}),
    ("GET", "/analyses/{image}", b"", {}),
    ("GET", "/analyses/{analysis}/annotations", b"", {}),
    ("GET", "/analyses/{analysis}/annotations?skip=1&limit=0", b"", {}),
    ("GET", "/analyses/{analysis}/annotations?limit=1001", b"", {}),
    ("GET", "/analyses/{image}/annotations", b"", {}),
    ("PATCH", "/analyses/{analysis}/status", b'{"status": "junk"}', JSON),
    ("PATCH", "/analyses/{analysis}/status", b'{"status": 7}', JSON),
    ("PATCH", "/analyses/{analysis}/status", b"{}", JSON),
    ("POST", "/analyses/{analysis}/finalize", b"{}", JSON),
    ("POST", "/analyses/{analysis}/finalize", b"", {}),
    ("POST", "/analyses/{analysis}/finalize", b'{"status": null}', JSON),
    ("POST", "/analyses/{analysis}/finalize", b'{"status": []}', JSON),
    ("POST", "/analyses/{analysis}/annotations:bulk", ROWS, JSON),
    ("POST", "/analyses/{analysis}/annotations:bulk", b"{", {}),
    ("POST", "/analyses/{analysis}/annotations:bulk", b"", JSON),
    ("DELETE", "/analyses/{analysis}", b"", {}),
    ("HEAD", "/analyses/{analysis}", b"", {}),
    ("PUT", "/analyses/{analysis}/status", b"{}", JSON),
]


@contextmanager
def without_short_way() -> Iterator[None]:
    def nothing(_self: DirectDoor, _scope: Scope) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectDoor, "_found", nothing)
        yield


def told(answer: httpx.Response) -> tuple[int, str | None, str]:
    """An answer without what is different each time: ids and moments."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", answer.text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<moment>", text)
    return answer.status_code, answer.headers.get("content-type"), text


@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
@pytest.mark.parametrize("caller", ["ours", "theirs", "nobody"])
async def test_both_ways_give_one_answer(vista: Vista, prefix: str, caller: str) -> None:
    key = {"ours": vista.key, "theirs": vista.their_key, "nobody": None}[caller]
    user = {"x-api-key": key} if key else {}

    async def ask_all() -> list[tuple[int, str | None, str]]:
        image, analysis = await vista.image(), await vista.analysis()
        answers = []
        for method, path, body, headers in ODD:
            places = {"image": image, "IMAGE": image.upper(), "analysis": analysis}
            sent = timestamped(body)
            sent.pop("Content-Type")
            answers.append(
                told(
                    await vista.client.request(
                        method,
                        prefix + path.format(**places),
                        content=body,
                        headers=sent | headers | user,
                    )
                )
            )
        return answers

    short = await ask_all()
    with without_short_way():
        ordinary = await ask_all()
    for request, one, other in zip(ODD, short, ordinary, strict=True):
        assert one == other, request[:2]
    statuses = {status for status, _, _ in short}
    assert statuses >= ({200, 201, 404, 405, 409, 422} if caller == "ours" else {405})


async def test_usual_requests_take_the_short_way(
    vista: Vista, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would compare FastAPI with itself."""
    taken: list[str] = []
    answer = DirectRoute.answer

    async def noted(self: DirectRoute, *arguments: object) -> object:
        taken.append(self.route.path)
        return await answer(self, *arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(DirectRoute, "answer", noted)
    pipeline, image = vista.pipeline("timestamped", "/api-key"), await vista.image()
    identity = (await pipeline.create(image)).json()["id"]
    await pipeline.status(identity, "processing")
    await pipeline.bulk(identity, json.loads(ROWS)["annotations"])
    await pipeline.finalize(identity, status="completed")
    for path in (f"/images/{image}/analyses?limit=3", f"/analyses/{identity}/annotations?skip=0"):
        answer_of = await vista.client.get(f"/api-key{path}", headers=vista.user)
        assert answer_of.status_code == 200
    read = await vista.client.get(f"/api-key/analyses/{identity}/", headers=vista.user)
    assert read.json()["status"] == "completed"
    assert taken == [
        "/images/{image_id}/analyses",
        "/analyses/{analysis_id}/status",
        "/analyses/{analysis_id}/annotations:bulk",
        "/analyses/{analysis_id}/finalize",
        "/images/{image_id}/analyses",
        "/analyses/{analysis_id}/annotations",
        "/analyses/{analysis_id}",
    ]
