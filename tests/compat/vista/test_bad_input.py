"""What pipelines should not send, and what they may send although it looks odd."""

import asyncio
import json
from itertools import product
from typing import Any

import pytest

from opsin.settings import Settings
from tests.compat.vista.cases import CASES, About, make_images, request_of, sign
from tests.compat.vista.conftest import Vista, vista_server, vista_settings
from tests.compat.vista.pipelines import documented, hex_digest, timestamped

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOX: dict[str, Any] = {"annotation_type": "bounding_box", "data": {"x_min": 1}}
DIALECTS = pytest.mark.parametrize("dialect", ["documented", "timestamped"])
ALL_PREFIXES = ("/api", "/api-key", "/api-ml")
PREFIXES = pytest.mark.parametrize("prefix", ALL_PREFIXES)
ABSENT = "00000000-0000-7000-8000-000000000000"


async def count(vista: Vista, identity: str) -> int:
    answer = await vista.client.get(f"/api/analyses/{identity}/annotations", headers=vista.user)
    return int(answer.json()["total"])


@PREFIXES
@DIALECTS
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confidence": 1.1}, "confidence"),
        ({"confidence": -0.01}, "confidence"),
        ({"confidence": "high"}, "confidence"),
        ({"annotation_type": "ab"}, "annotation_type"),
        ({"annotation_type": "x" * 51}, "annotation_type"),
        ({"annotation_type": None}, "annotation_type"),
        ({"class_name": "x" * 256}, "class_name"),
        ({"data": [1, 2]}, "data"),
        ({"data": None}, "data"),
        ({"ordering": 2**40}, "ordering"),
        ({"storage_path": "x" * 1025}, "storage_path"),
    ],
)
async def test_one_bad_annotation_refuses_them_all(
    vista: Vista, dialect: str, prefix: str, changes: dict[str, Any], field: str
) -> None:
    identity = await vista.analysis()
    answer = await vista.pipeline(dialect, prefix).bulk(identity, [BOX, BOX | changes, BOX])
    if dialect == "documented":
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"Invalid annotation format: {field}")
    else:
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:4] == ["body", "annotations", 1, field]
    assert await count(vista, identity) == 0


@PREFIXES
@DIALECTS
async def test_one_bad_among_a_thousand_stores_nothing(
    vista: Vista, dialect: str, prefix: str
) -> None:
    identity = await vista.analysis()
    many = [BOX] * 999 + [BOX | {"confidence": 7}]
    answer = await vista.pipeline(dialect, prefix).bulk(identity, many)
    assert answer.status_code == (400 if dialect == "documented" else 422)
    assert await count(vista, identity) == 0


@PREFIXES
@DIALECTS
async def test_how_many_fit_into_one_request(any_vista: Vista, dialect: str, prefix: str) -> None:
    pipeline = any_vista.pipeline(dialect, prefix)
    identity = await any_vista.analysis()
    none = await pipeline.bulk(identity, [])
    assert none.status_code == (201 if dialect == "documented" else 200)
    assert none.json() == {"created_count": 0, "annotations": [], "total": 0}
    many = [{**BOX, "class_name": str(n)} for n in range(1000)]
    full = (await pipeline.bulk(identity, many)).json()
    assert full["created_count"] == full["total"] == 1000
    shown = 1000 if dialect == "documented" else 500
    assert [row["class_name"] for row in full["annotations"]] == [str(n) for n in range(shown)]
    more = await pipeline.bulk(identity, [*many, BOX])
    assert more.status_code == 400
    assert more.json() == {"detail": "Too many annotations in one request"}
    assert await count(any_vista, identity) == 1000


@PREFIXES
@DIALECTS
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_numbers_that_are_none(vista: Vista, dialect: str, prefix: str, number: str) -> None:
    identity = await vista.analysis()
    for data in (
        f'{{"annotations":[{{"annotation_type":"box","confidence":{number},"data":{{}}}}]}}',
        f'{{"annotations":[{{"annotation_type":"box","data":{{"x":{number}}}}}]}}',
    ):
        body = data.encode()
        signed = documented(json.loads(data)) if dialect == "documented" else timestamped(body)
        url = f"{prefix}/analyses/{identity}/annotations:bulk"
        answer = await vista.client.post(url, content=body, headers=signed | vista.user)
        assert answer.status_code == (400 if dialect == "documented" else 422), answer.text
    assert await count(vista, identity) == 0


@PREFIXES
@DIALECTS
@pytest.mark.parametrize("body", ["[]", "{}", '{"annotations": 1}', '{"annotations": [1]}', "{"])
async def test_bodies_without_annotations(
    vista: Vista, dialect: str, prefix: str, body: str
) -> None:
    identity = await vista.analysis()
    sent = body.encode()
    signed = timestamped(sent)
    if dialect == "documented":
        signed["X-ML-Signature"] = hex_digest(sent)
    url = f"{prefix}/analyses/{identity}/annotations:bulk"
    answer = await vista.client.post(url, content=sent, headers=signed | vista.user)
    assert answer.status_code == (400 if dialect == "documented" else 422), answer.text


@PREFIXES
@DIALECTS
async def test_findings_that_look_odd_are_kept_as_they_are(
    vista: Vista, dialect: str, prefix: str
) -> None:
    # The documentation's own example of run lengths fills 45 of 307,200 pixels.
    odd = [
        {"rle": {"counts": [12, 5, 8, 3, 15, 2], "size": [480, 640]}, "format": "rle"},
        {"points": [[-50, -50], [10_000, 3], [5, 1e9]], "format": "polygon"},
        {"keypoints": [{"name": "nose", "x": 1, "y": 2}]},
        {"a": {"b": [1, 2.50, 12345678901234567890, "ü", None]}},
    ]
    many = [{"annotation_type": "segmentation", "data": data, "unknown": 1} for data in odd]
    identity = await vista.analysis()
    answer = await vista.pipeline(dialect, prefix).bulk(identity, many)
    assert answer.status_code in (200, 201), answer.text
    assert [row["data"] for row in answer.json()["annotations"]] == odd
    read = await vista.client.get(f"/api/analyses/{identity}", headers=vista.user)
    assert [row["data"] for row in read.json()["annotations"]] == odd


@pytest.mark.parametrize(
    "data",
    [{"bbox": [1, 2, 3]}, {"bbox": "1,2,3,4"}, {"bbox": [1, 2, 3, 4], "format": "cxcywh"}],
)
async def test_the_documented_box_has_four_numbers(vista: Vista, data: dict[str, Any]) -> None:
    box = {"annotation_type": "bounding_box", "data": data}
    identity = await vista.analysis()
    answer = await vista.pipeline("documented").bulk(identity, [box])
    assert answer.status_code == 400
    assert "Invalid annotation format: data." in answer.json()["detail"]
    assert (await vista.pipeline("timestamped").bulk(identity, [box])).status_code == 200


@PREFIXES
@DIALECTS
async def test_statuses_that_may_not_follow(vista: Vista, dialect: str, prefix: str) -> None:
    pipeline = vista.pipeline(dialect, prefix)
    identity = await vista.analysis()
    junk = await pipeline.status(identity, "junk")
    assert junk.status_code == 409
    assert junk.json() == {"detail": "Illegal transition queued->junk"}
    early = await pipeline.status(identity, "completed")
    assert early.json() == {"detail": "Illegal transition queued->completed"}
    ended = await pipeline.finalize(identity, status="completed")
    assert ended.status_code == 200
    again = await pipeline.finalize(identity, status="completed", summary={"n": 1})
    assert again.status_code == 200
    assert again.json()["completed_at"] == ended.json()["completed_at"]
    assert (await pipeline.finalize(identity, status="failed")).status_code == 409
    assert (await pipeline.finalize(identity)).json()["status"] == "completed"


@PREFIXES
@DIALECTS
@pytest.mark.parametrize("word", ["canceled", "cancelled", "CANCELED"])
async def test_both_spellings_of_cancelled(
    vista: Vista, dialect: str, prefix: str, word: str
) -> None:
    identity = await vista.analysis()
    answer = await vista.pipeline(dialect, prefix).status(identity, word)
    assert answer.json()["status"] == word.lower()
    assert answer.json()["started_at"] is None
    read = await vista.client.get(f"/api/analyses/{identity}", headers=vista.user)
    assert read.json()["status"] == "cancelled"


async def test_a_replay_gets_the_first_answer_and_does_nothing(any_vista: Vista) -> None:
    identity = await any_vista.analysis()
    payload = {"annotations": [BOX]}
    url = f"/api/analyses/{identity}/annotations:bulk"
    client = any_vista.client

    async def send() -> Any:
        return await client.post(url, json=payload, headers=documented(payload))

    first = await send()
    assert first.status_code == 201
    for answer in await asyncio.gather(*(send() for _ in range(4))):
        assert (answer.status_code, answer.content) == (201, first.content)
    # Another form of the same path is the same request.
    other_forms = (
        f"{url}/",
        url.replace(identity, identity.upper()),
        url.replace(identity, identity.replace("-", "")),
        url.replace("/api/", "/api-key/"),
        url.replace("/api/", "/api-ml/"),
        url.replace("annotations:bulk", "annotations%3Abulk"),
    )
    for form in other_forms:
        headers = documented(payload) | any_vista.user
        again = await client.post(form, json=payload, headers=headers)
        assert again.content == first.content
    assert await count(any_vista, identity) == 1


async def test_the_same_request_many_times_at_once_acts_once(any_vista: Vista) -> None:
    identity = await any_vista.analysis()
    answers = await asyncio.gather(
        *(any_vista.pipeline().bulk(identity, [BOX, BOX]) for _ in range(8))
    )
    assert {answer.content for answer in answers} == {answers[0].content}
    assert await count(any_vista, identity) == 2


async def test_signed_times_let_a_retry_append(vista: Vista) -> None:
    identity = await vista.analysis()
    for total in (1, 2):
        answer = await vista.pipeline("timestamped").bulk(identity, [BOX])
        assert answer.json()["total"] == total


async def test_an_absent_analysis(vista: Vista) -> None:
    answer = await vista.pipeline().finalize(ABSENT, status="failed")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Analysis not found"}


@PREFIXES
@DIALECTS
async def test_what_cannot_be_created(vista: Vista, dialect: str, prefix: str) -> None:
    pipeline, image_id = vista.pipeline(dialect, prefix), await vista.image()
    refused = await pipeline.create(image_id, model_name="unheard_of")
    assert (refused.status_code, refused.json()) == (400, {"detail": "Model not allowed"})
    mismatch = await pipeline.create(image_id, image_id=ABSENT)
    assert (mismatch.status_code, mismatch.json()) == (400, {"detail": "Image ID mismatch"})
    for changes in (
        {"model_name": "a.b"},
        {"model_name": "x"},
        {"model_name": "yolo_v8\n"},
        {"model_version": ""},
        {"model_version": "x" * 101},
        {"parameters": [1]},
        {"image_id": "none"},
    ):
        answer = await pipeline.create(image_id, **changes)
        assert answer.status_code == 422, changes
        assert answer.json()["detail"][0]["loc"][0] == "body"
    assert (await pipeline.create(ABSENT)).json() == {"detail": "Image not found"}
    assert (await pipeline.create("none")).status_code == 422


async def test_an_image_has_so_many_analyses_and_no_more(any_vista: Vista) -> None:
    pipeline, image_id = any_vista.pipeline(), await any_vista.image()
    answers = await asyncio.gather(*(pipeline.create(image_id) for _ in range(14)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [400] * 4
    refused = next(answer for answer in answers if answer.status_code == 400)
    assert refused.json() == {"detail": "Analysis limit reached for this image"}


async def test_without_a_secret_callbacks_do_not_work(module_settings: Settings) -> None:
    none = {"vista_hmac_secret": None, "vista_previous_hmac_secret": None}
    folder = {"data_dir": module_settings.data_dir / "no-secret"}
    async with vista_server(vista_settings(module_settings, **none, **folder)) as vista:
        identity = await vista.analysis()
        for dialect, prefix in product(("documented", "timestamped"), ALL_PREFIXES):
            everywhere = "HMAC authentication not configured on server"
            detail = everywhere if prefix == "/api-ml" else "HMAC secret not configured"
            pipeline = vista.pipeline(dialect, prefix)
            for answer in (
                await pipeline.presign(identity, {"artifact_type": "log"}),
                await pipeline.bulk(identity, [BOX]),
                await pipeline.finalize(identity, status="completed"),
            ):
                assert (answer.status_code, answer.json()) == (500, {"detail": detail})
        assert await count(vista, identity) == 0
        key = {"X-API-Key": vista.key}
        answer = await vista.client.get(f"/api-ml/analyses/{identity}", headers=key)
        assert answer.status_code == 500
        assert answer.json()["detail"] == "HMAC authentication not configured on server"


async def test_with_the_feature_off_there_are_no_analyses(module_settings: Settings) -> None:
    changes = {"vista_enabled": False, "data_dir": module_settings.data_dir / "off"}
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        world = await make_images(vista.client, vista.user)
        for case, prefix in product(CASES, ALL_PREFIXES):
            is_of_analyses = "/analyses" in case.path or case.path.startswith("/ml/")
            if case.about is not About.THING or case.method == "DELETE":
                continue
            request = request_of(vista.client, case, world, vista.user, prefix=prefix)
            answer = await vista.client.send(sign(request))
            off = (404, {"detail": "ML analysis feature disabled"})
            if is_of_analyses:
                assert (answer.status_code, answer.json()) == off, case
            else:
                assert answer.is_success, (case, answer.text)
        # Whoever is nobody is not told so much.
        nobody = await vista.client.get(f"/api/analyses/{ABSENT}")
        assert nobody.status_code == 401


async def test_what_the_operator_may_make_stricter_or_kinder(module_settings: Settings) -> None:
    folder = module_settings.data_dir
    strict = {"vista_require_timestamped_hmac": True, "data_dir": folder / "timestamped"}
    async with vista_server(vista_settings(module_settings, **strict)) as vista:
        identity = await vista.analysis()
        assert (await vista.pipeline("documented").bulk(identity, [])).status_code == 401
        assert (await vista.pipeline("timestamped").bulk(identity, [])).status_code == 200
    both = {"vista_callback_auth": "hmac+user", "data_dir": folder / "both"}
    async with vista_server(vista_settings(module_settings, **both)) as vista:
        identity = await vista.analysis()
        assert (await vista.pipeline().bulk(identity, [])).status_code == 401
        assert (await vista.pipeline("documented", "/api-key").bulk(identity, [])).is_success
    kind = {"vista_require_hmac": False, "data_dir": folder / "unsigned"}
    async with vista_server(vista_settings(module_settings, **kind)) as vista:
        url = f"/api/analyses/{await vista.analysis()}/annotations:bulk"
        assert (await vista.client.post(url, json={"annotations": []})).status_code == 401
        sent = await vista.client.post(url, json={"annotations": []}, headers=vista.user)
        assert sent.status_code == 200


@pytest.mark.parametrize("text", ["\x00", "a\ud800b"])
async def test_texts_that_no_database_keeps(any_vista: Vista, text: str) -> None:
    image_id = await any_vista.image()
    image = (await any_vista.client.get(f"/api/images/{image_id}", headers=any_vista.user)).json()
    project = f"/api/projects/{image['project_id']}"
    analysis = f"/api/analyses/{await any_vista.analysis()}"
    bodies: dict[str, dict[str, Any]] = {
        "/api/projects": {"name": text, "meta_group_id": "ours"},
        f"{project}/classes": {"name": text},
        f"{project}/metadata": {"key": text, "value": 1},
        f"/api/images/{image_id}/comments": {"text": text},
        f"/api/images/{image_id}/analyses": {"model_name": "yolo_v8", "model_version": text},
        "/api/api-keys": {"name": text},
        "/api/users": {"email": text},
    }
    for url, body in bodies.items():
        content = json.dumps(body).encode()
        headers = any_vista.user | {"Content-Type": "application/json"}
        answer = await any_vista.client.post(url, content=content, headers=headers)
        assert answer.status_code in (400, 403, 422), (url, answer.text)
    for dialect in ("documented", "timestamped"):
        pipeline = any_vista.pipeline(dialect)
        identity = analysis.rpartition("/")[2]
        bad = await pipeline.bulk(identity, [BOX | {"class_name": text}])
        assert bad.status_code in (400, 422), bad.text
        bad = await pipeline.status(identity, "processing", error_message=text)
        assert bad.status_code == 400, bad.text
        assert (await pipeline.status(identity, text)).status_code == 409
    query = {"search_field": "filename", "search_value": text.replace("\ud800", "\x00")}
    found = await any_vista.client.get(f"{project}/images", params=query, headers=any_vista.user)
    assert found.json() == []


async def test_pictures_that_are_too_large(module_settings: Settings) -> None:
    changes = {"max_upload_bytes": 1000, "data_dir": module_settings.data_dir / "tiny"}
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        body = {"name": "p", "meta_group_id": "ours"}
        made = await vista.client.post("/api/projects", json=body, headers=vista.user)
        answer = await vista.client.post(
            f"/api/projects/{made.json()['id']}/images",
            files={"file": ("a.png", b"x" * 1001, "image/png")},
            headers=vista.user,
        )
        assert (answer.status_code, answer.json()) == (413, {"detail": "File too large"})
