"""Exports: everything of what was asked for, of one moment, in every format, with flat memory."""

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound, Overloaded
from opsin.core.exports.columns import FLAT
from opsin.core.exports.exports import Exports
from opsin.core.exports.request import ExportFilter, ExportFormat, Target, TargetKind
from tests.conftest import other_company
from tests.core.exports.stored import FINDINGS, store, store_many

FIELDS = ("annotation_type", "class_name", "confidence", "data", "storage_path", "ordering")
COMPLETE = [dict.fromkeys(FIELDS) | finding for finding in FINDINGS]


async def exported(
    parts: Parts,
    kind: TargetKind,
    identity: str,
    form: ExportFormat = ExportFormat.JSON,
    wanted: dict[str, str] | None = None,
) -> str:
    exports = parts.use_cases.exports
    target = await exports.by_id(kind, identity)
    chosen = ExportFilter.read(wanted or {})
    chunks = [chunk async for chunk in exports.stream(target, form, chosen)]
    return b"".join(chunks).decode()


def findings(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Only what was told of them."""
    return [{name: annotation[name] for name in FIELDS} for annotation in annotations]


async def test_json_holds_a_dataset_with_all_that_is_in_it(
    parts: Parts, principal: Principal
) -> None:
    stored = await store(parts, principal)
    await store(parts, principal)  # another one
    document = json.loads(await exported(parts, TargetKind.DATASET, stored.dataset_id))
    assert (document["id"], document["name"]) == (stored.dataset_id, 'a "dataset"')
    assert document["description"] == "with\nlines"
    assert [one["id"] for one in document["images"]] == [image.id for image in stored.images]
    for image, found, analyses in zip(
        stored.images, document["images"], stored.analyses, strict=True
    ):
        assert found["created_at"] == image.created_at.isoformat(timespec="microseconds")
        names = ("filename", "content_type", "sha256", "size_bytes", "width", "height", "metadata")
        assert {name: found[name] for name in names} == {n: getattr(image, n) for n in names}
        assert [one["id"] for one in found["analyses"]] == [one.id for one in analyses]
        for analysis in found["analyses"]:
            assert analysis["parameters"] == {"threshold": 0.5}
            completed = analysis["model_name"] == "+detr"
            assert analysis["status"] == ("COMPLETED" if completed else "QUEUED")
            assert analysis["summary"] == ({"found": 5} if completed else None)
            assert findings(analysis["annotations"]) == COMPLETE


async def test_json_of_an_image_and_of_an_analysis_is_a_part_of_it(
    parts: Parts, principal: Principal
) -> None:
    stored = await store(parts, principal)
    whole = json.loads(await exported(parts, TargetKind.DATASET, stored.dataset_id))["images"]
    for image, expected in zip(stored.images, whole, strict=True):
        assert json.loads(await exported(parts, TargetKind.IMAGE, image.id)) == expected
        for analysis in expected["analyses"]:
            found = await exported(parts, TargetKind.ANALYSIS, analysis["id"])
            its_image = {name: value for name, value in expected.items() if name != "analyses"}
            assert json.loads(found) == {"image": its_image} | analysis
    analysis_id = stored.analyses[0][0].id
    failed = {"status": "FAILED"}
    found = await exported(parts, TargetKind.ANALYSIS, analysis_id, wanted=failed)
    assert found == "null\n"


async def test_ndjson_has_a_line_for_each_annotation(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    text = await exported(parts, TargetKind.DATASET, stored.dataset_id, ExportFormat.NDJSON)
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert text.endswith("}\n") and len(lines) == 4 * len(FINDINGS)
    assert findings(lines) == COMPLETE * 4
    assert [list(line) for line in lines] == [
        ["image_id", "image_filename", "image_sha256", *[name for name, _, _ in FLAT][2:]]
    ] * len(lines)
    belongs = [(line["image_id"], line["analysis_id"], line["image_width"]) for line in lines]
    assert belongs == [
        (image.id, analysis.id, 40)
        for image, analyses in zip(stored.images, stored.analyses, strict=True)
        for analysis in analyses
        for _ in FINDINGS
    ]


async def test_csv_is_read_back_by_the_standard_library(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    text = await exported(parts, TargetKind.DATASET, stored.dataset_id, ExportFormat.CSV)
    names = [name for name, _, _ in FLAT]
    assert text.split("\r\n")[0].split(",") == names and text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 4 * len(FINDINGS)
    for row, finding in zip(rows, COMPLETE * 4, strict=True):
        assert json.loads(row["data"]) == finding["data"]
        assert float(row["confidence"] or "nan") == finding["confidence"] or not row["confidence"]
        assert row["ordering"] == ("" if finding["ordering"] is None else str(finding["ordering"]))
        assert row["storage_path"] == (finding["storage_path"] or "")
        # A spreadsheet takes none of the texts for a formula.
        name = finding["class_name"] or ""
        assert row["class_name"] == (f"'{name}" if name[:1] in ("=", "-") else name)
    assert {row["model_name"] for row in rows} == {"yolo", "'+detr"}
    # Absent is not the same as empty.
    first = text.split("\r\n", 1)[1]
    assert ',"tag","",1' in first and ',"caption",,,' in first


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, 20),
        ({"model_name": "yolo"}, 10),
        ({"model_name": "yolo", "model_version": "9"}, 0),
        ({"operation": "caption"}, 0),
        ({"status": "completed"}, 10),
        ({"status": '["QUEUED", "COMPLETED"]'}, 20),
        ({"annotation_type": "bounding_box"}, 8),
        ({"annotation_type": '["tag", "keypoint"]'}, 8),
        ({"class_name": "cat"}, 4),
        ({"class_name": ""}, 4),
        ({"class_name": "[]"}, 0),
        ({"confidence_from": "0.3"}, 12),
        ({"confidence_from": "0.3", "confidence_to": "0.5"}, 8),
        ({"confidence_to": "0"}, 0),
    ],
)
async def test_filters(
    parts: Parts, principal: Principal, wanted: dict[str, str], expected: int
) -> None:
    stored = await store(parts, principal)
    lines = await exported(
        parts, TargetKind.DATASET, stored.dataset_id, ExportFormat.NDJSON, wanted
    )
    assert lines.count("\n") == expected
    document = json.loads(
        await exported(parts, TargetKind.DATASET, stored.dataset_id, wanted=wanted)
    )
    assert len(document["images"]) == 3
    analyses = [one for image in document["images"] for one in image["analyses"]]
    assert sum(len(one["annotations"]) for one in analyses) == expected


@pytest.mark.parametrize(
    "wanted",
    [
        {"classname": "cat"},
        {"status": "DONE"},
        {"status": '["QUEUED", 1]'},
        {"class_name": '["cat"'},
        {"class_name": "a\x00"},
        {"model_name": "\ud800"},
        {"confidence_from": "high"},
        {"confidence_to": "nan"},
        {"confidence_to": "1.1"},
    ],
)
def test_what_is_no_filter(wanted: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        ExportFilter.read(wanted)


@pytest.mark.parametrize("form", ExportFormat)
async def test_an_export_is_of_one_moment(
    parts: Parts, principal: Principal, form: ExportFormat
) -> None:
    stored = await store_many(parts, principal)
    before = await exported(parts, TargetKind.DATASET, stored.dataset_id, form)
    exports = parts.use_cases.exports
    target = await exports.find(principal, TargetKind.DATASET, stored.dataset_id)
    async with aclosing(exports.stream(target, form)) as chunks:
        found = await anext(chunks)
        await parts.use_cases.annotations.add(principal, stored.analyses[1][0].id, FINDINGS)
        await parts.use_cases.images.delete(principal, stored.images[1].id)
        found += b"".join([chunk async for chunk in chunks])
    assert without_date(found.decode()) == without_date(before)
    after = await exported(parts, TargetKind.DATASET, stored.dataset_id, form)
    assert len(after) < len(before)


def without_date(text: str) -> str:
    """COCO tells when it was written."""
    head, separator, rest = text.partition('"date_created":"')
    return head + separator + rest[rest.find('"') :] if separator else text


@pytest.mark.parametrize("form", ExportFormat)
async def test_memory_does_not_grow_with_the_export(
    parts: Parts, principal: Principal, form: ExportFormat
) -> None:
    stored = await store_many(parts, principal)
    await exported(parts, TargetKind.IMAGE, stored.images[0].id, form)  # what is loaded once
    target = await parts.use_cases.exports.find(principal, TargetKind.IMAGE, stored.images[0].id)
    length = 0
    tracemalloc.start()
    try:
        async for chunk in parts.use_cases.exports.stream(target, form):
            length += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length > 4_000_000
    assert peak < 3_000_000, peak


async def test_large_rows_come_a_few_at_a_time(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    points = [[n % 40, n % 30] for n in range(20_000)]  # some 100 kB each
    mask = {"annotation_type": "segmentation", "data": {"points": points, "format": "polygon"}}
    await parts.use_cases.annotations.add(principal, stored.analyses[0][0].id, [mask] * 100)
    target = await parts.use_cases.exports.find(principal, TargetKind.IMAGE, stored.images[0].id)
    lengths = [len(c) async for c in parts.use_cases.exports.stream(target, ExportFormat.NDJSON)]
    assert sum(lengths) > 10_000_000
    assert max(lengths) < 3_000_000


async def test_whose_it_is(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    stranger = await other_company(parts)
    exports = parts.use_cases.exports
    for kind, identity in (
        (TargetKind.DATASET, stored.dataset_id),
        (TargetKind.IMAGE, stored.images[0].id),
        (TargetKind.ANALYSIS, stored.analyses[0][0].id),
    ):
        assert (await exports.find(principal, kind, identity)).id == identity
        for caller, wrong in ((stranger, identity), (principal, "nothing")):
            with pytest.raises(NotFound):
                await exports.find(caller, kind, wrong)
        # The company is also part of every statement.
        forged = Target(kind, identity, stranger.company_id)
        text = b"".join([c async for c in exports.stream(forged, ExportFormat.JSON)])
        assert text == b"null\n"


async def test_so_many_at_once_and_no_more(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    exports = Exports(parts.use_cases.database, most_at_once=2)
    target = await exports.find(principal, TargetKind.DATASET, stored.dataset_id)

    async def begun() -> AsyncGenerator[bytes, None]:
        chunks = exports.stream(target, ExportFormat.CSV)
        await anext(chunks)
        return chunks

    running = [await begun(), await begun()]
    with pytest.raises(Overloaded):
        await begun()
    await running[0].aclose()
    running.append(await begun())
    for chunks in running:
        await chunks.aclose()


async def test_a_cancelled_reader_leaves_nothing_behind(parts: Parts, principal: Principal) -> None:
    stored = await store_many(parts, principal, 4000)
    exports = Exports(parts.use_cases.database, most_at_once=1)
    target = await exports.find(principal, TargetKind.DATASET, stored.dataset_id)

    async def read() -> None:
        async with aclosing(exports.stream(target, ExportFormat.COCO)) as chunks:
            async for _ in chunks:
                await asyncio.sleep(0)

    for patience in (0.0, 0.001, 0.005, 0.01, 0.02, 0.05):
        reading = asyncio.create_task(read())
        await asyncio.sleep(patience)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await read()  # there is room again, and the database works


async def test_the_stream_survives_images_without_anything(
    parts: Parts, principal: Principal
) -> None:
    dataset = await parts.use_cases.datasets.create(principal, "empty")
    for form, expected in (
        (ExportFormat.NDJSON, ""),
        (ExportFormat.CSV, ",".join(name for name, _, _ in FLAT) + "\r\n"),
    ):
        assert await exported(parts, TargetKind.DATASET, dataset.id, form) == expected
    document = json.loads(await exported(parts, TargetKind.DATASET, dataset.id))
    assert document["images"] == []
    coco = json.loads(await exported(parts, TargetKind.DATASET, dataset.id, ExportFormat.COCO))
    assert coco["images"] == coco["annotations"] == coco["categories"] == []
