"""What an import stores: pictures once, all or nothing where asked, and the rest when run again."""

import asyncio
import json
import os
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import Conflict, InvalidInput, NotFound
from opsin.core.exports.request import ExportFormat
from opsin.core.images import NewImage
from opsin.core.imports import imports
from opsin.core.imports.options import ImportFormat, ImportOptions
from opsin.core.imports.sources import SourcePaths
from opsin.storage.tables import analyses, annotations, datasets, events, images
from tests.core.exports.stored import store
from tests.core.imports.making import (
    HEIGHT,
    WIDTH,
    box,
    coco,
    content,
    exported,
    picture,
    reasons,
    take_in,
)
from tests.pictures import encoded, quadrants


async def counts(parts: Parts) -> tuple[int, ...]:
    """Datasets, images, analyses and annotations that are stored."""
    async with parts.use_cases.database.read() as connection:
        return tuple(
            [
                (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                for table in (datasets, images, analyses, annotations)
            ]
        )


async def test_a_second_time_nothing_is_stored(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1), box(2), box(2)], count=3)
    first = await take_in(parts, principal, source)
    stored = await counts(parts)
    assert stored == (1, 3, 3, 3)
    again = await take_in(parts, principal, source)
    assert again.dataset_id == first.dataset_id
    assert (again.images_new, again.images_known) == (0, 3)
    assert (again.analyses_new, again.analyses_known, again.annotations_known) == (0, 3, 3)
    assert await counts(parts) == stored
    # By another model, or with other content, it is something else.
    other = await take_in(parts, principal, source, options=ImportOptions("other"))
    assert (other.images_new, other.analyses_new) == (0, 3)
    coco(tmp_path, [box(1, score=0.5)], count=3)
    changed = await take_in(parts, principal, source)
    assert (changed.images_new, changed.analyses_new, changed.annotations_new) == (0, 3, 1)


async def test_each_change_is_told(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    report = await take_in(parts, principal, coco(tmp_path, [box(1)], count=2))
    async with parts.use_cases.database.read() as connection:
        statement = select(events.c.kind, events.c.dataset_id).order_by(events.c.sequence)
        told = (await connection.execute(statement)).all()
    assert [row.kind for row in told] == ["dataset.created"] + ["image.created"] * 2 + [
        "analysis.completed"
    ] * 2
    assert {row.dataset_id for row in told} == {report.dataset_id}


async def test_a_picture_that_is_here_is_not_stored_again(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    dataset = await parts.use_cases.datasets.create(principal, "mine")
    path = picture(tmp_path, "images/001.jpg", 1)
    with path.open("rb") as file:
        image = await parts.use_cases.images.add(
            principal, NewImage(dataset.id, "its own name.jpg"), file
        )
    report = await take_in(parts, principal, coco(tmp_path, [box(1)], count=2), "mine")
    assert (report.images_known, report.images_new) == (1, 1)
    first, second = await content(parts, report)
    assert (first["id"], first["filename"]) == (image.id, "its own name.jpg")
    assert second["filename"] == "002.jpg" and len(first["analyses"]) == 1


async def test_equal_pictures_are_images_of_their_own(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1), box(2)], count=2)
    (tmp_path / "images/002.jpg").write_bytes((tmp_path / "images/001.jpg").read_bytes())
    for _ in range(2):
        report = await take_in(parts, principal, source)
        found = await content(parts, report)
        assert [one["filename"] for one in found] == ["001.jpg", "002.jpg"]
        assert [len(one["analyses"]) for one in found] == [1, 1]


async def test_images_of_a_dataset_are_known_by_name(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    """Without their pictures, if one is called so and is of the size that the file tells."""
    source = coco(tmp_path, [box(1), box(2), box(3)], count=3)
    await take_in(parts, principal, source, "mine")
    document = json.loads(source.read_text())
    document["images"][1]["width"] += 1
    document["images"].append({"id": 4, "file_name": "001.jpg"})
    other = tmp_path / "elsewhere/other.json"
    other.parent.mkdir()
    other.write_text(json.dumps(document))
    report = await take_in(parts, principal, other, "mine")
    assert (report.images_known, report.images_missing) == (2, 2)
    assert report.analyses_new == 2


async def test_a_dry_run_stores_nothing(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    source = coco(tmp_path, [box(1), box(2)], count=2)
    before = await counts(parts)
    report = await take_in(parts, principal, source, options=ImportOptions(dry_run=True))
    assert report.dataset_id is None and report.dry_run
    assert (report.images_new, report.analyses_new, report.annotations_new) == (2, 2, 2)
    assert await counts(parts) == before
    assert [blob async for blob in parts.use_cases.images._blobs.list()] == []
    await take_in(parts, principal, source)
    report = await take_in(parts, principal, source, options=ImportOptions(dry_run=True))
    assert (report.images_known, report.analyses_known, report.annotations_known) == (2, 2, 2)


@pytest.mark.parametrize("bad", [[box(1), box(9)], [box(1, bbox=[1, 1, -1, 1])], [box(3)]])
async def test_strictly_all_or_nothing(
    parts: Parts, principal: Principal, tmp_path: Path, bad: list[dict[str, object]]
) -> None:
    source = coco(tmp_path, bad, count=3)
    (tmp_path / "images/003.jpg").unlink()
    before = await counts(parts)
    strict = ImportOptions(strict=True)
    report = await take_in(parts, principal, source, options=strict)
    assert report.dry_run and not report.is_complete and await counts(parts) == before
    source = coco(tmp_path, [box(1)], count=3)
    report = await take_in(parts, principal, source, options=strict)
    assert not report.dry_run and (report.images_new, report.annotations_new) == (3, 1)


async def test_one_that_was_broken_off_goes_on(
    parts: Parts, principal: Principal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_BATCH_IMAGES", 4)
    source = coco(tmp_path, [box(n) for n in range(1, 21)], count=20)
    paths, options = SourcePaths(source), ImportOptions()
    done: asyncio.Event = asyncio.Event()

    def progress(count: int, total: int) -> None:
        assert total == 20
        if count >= 12:
            done.set()

    run = asyncio.create_task(
        parts.use_cases.imports.run(principal, paths, "mine", options, progress)
    )
    await done.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    _, begun, *_ = await counts(parts)
    assert 4 <= begun < 20
    report = await take_in(parts, principal, source, "mine")
    assert (report.images_known, report.images_new) == (begun, 20 - begun)
    assert await counts(parts) == (1, 20, 20, 20)
    names = [one["filename"] for one in await content(parts, report)]
    assert names == [f"{number:03}.jpg" for number in range(1, 21)]


async def test_two_at_once_do_not_double(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(n) for n in range(1, 9)], count=8)
    dataset = await parts.use_cases.datasets.create(principal, "mine")
    ended = await asyncio.gather(
        *(take_in(parts, principal, source, dataset.id) for _ in range(4)), return_exceptions=True
    )
    assert all(isinstance(end, Conflict) for end in ended if isinstance(end, BaseException))
    assert await counts(parts) == (1, 8, 8, 8)


async def test_an_image_that_is_deleted_is_not_brought_back(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1)], count=1)
    report = await take_in(parts, principal, source)
    (image,) = await content(parts, report)
    await parts.use_cases.images.delete(principal, image["id"])
    again = await take_in(parts, principal, source)
    assert (again.images_new, again.analyses_new) == (1, 1)


async def test_where_it_goes(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    source = coco(tmp_path, [box(1)], count=1)
    create = parts.use_cases.datasets.create
    one, two = await create(principal, "twice"), await create(principal, "twice")
    with pytest.raises(InvalidInput, match=f"2 datasets.*{one.id}, {two.id}"):
        await take_in(parts, principal, source, "twice")
    report = await take_in(parts, principal, source, two.id)
    assert (report.dataset_id, report.dataset) == (two.id, "twice")
    with pytest.raises(NotFound):
        await take_in(parts, principal, source, "00000000-0000-7000-8000-000000000000")
    with pytest.raises(InvalidInput):
        await take_in(parts, principal, source, " ")


async def test_a_turned_picture(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    """A file that counts pixels before EXIF turns the picture would have its boxes elsewhere."""
    source = coco(tmp_path, [box(1)], count=1)
    image = quadrants(WIDTH, HEIGHT)
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "images/001.jpg").write_bytes(encoded(image, "JPEG", exif=exif))
    report = await take_in(parts, principal, source)
    assert (report.images_new, report.analyses_new) == (1, 0)
    (told,) = reasons(report)
    assert "001.jpg" in told and "EXIF" in told


async def test_links_and_special_files(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    folder.mkdir()
    secret = picture(tmp_path, "secret.jpg")
    source = coco(folder, [], count=4)
    for name in ("001.jpg", "002.jpg", "003.jpg"):
        (folder / "images" / name).unlink()
    (folder / "images/001.jpg").symlink_to(secret)
    (folder / "images/002.jpg").symlink_to("004.jpg")
    os.mkfifo(folder / "images/003.jpg")
    report = await take_in(parts, principal, source)
    assert (report.images_new, report.images_missing) == (2, 2)
    assert [one.reason.partition(": ")[2] for one in report.missing] == [
        "a link leads out of the folder",
        "it is no plain file",
    ]


async def test_a_document_that_is_a_link_out_of_its_folder(house: Parts, tmp_path: Path) -> None:
    principal = await house.use_cases.access.local()
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "instances.json").symlink_to(coco(tmp_path, [box(1)]))
    with pytest.raises(InvalidInput, match="a link leads out of the folder"):
        await take_in(house, principal, folder)


async def test_an_archive(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    folder.mkdir()
    source = coco(folder, [box(1), box(3)], count=3)
    archive = tmp_path / "coco.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(source, "annotations/instances.json")
        packed.write(folder / "images/001.jpg", "images/001.jpg")
        packed.write(folder / "images/002.jpg", "images\\002.jpg")
        packed.writestr("images/003.jpg", bytes(20 << 20))
    report = await take_in(parts, principal, archive)
    assert (report.images_new, report.images_missing, report.annotations_new) == (2, 1, 1)
    assert "grows too much" in report.missing[0].reason
    again = await take_in(parts, principal, source, images=archive)
    assert (again.images_known, again.images_missing) == (2, 1)


async def test_an_archive_that_is_damaged_or_holds_several(house: Parts, tmp_path: Path) -> None:
    principal = await house.use_cases.access.local()
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InvalidInput, match="no zip archive"):
        await take_in(house, principal, archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.json", "{}")
        packed.writestr("b.json", "{}")
    with pytest.raises(InvalidInput, match=r"a.json, b.json: unpack it"):
        await take_in(house, principal, archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.json", b'{"images": [' + b" " * (30 << 20) + b"]}")
    with pytest.raises(InvalidInput, match="cannot be unpacked"):
        await take_in(house, principal, archive)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '{"images": [{"id": 1', "a.json:1: the file ends in the middle"),
        ("a.json", '{"pictures": []}', "no format that is known"),
        ("a.json", "[1, 2]", "no format that is known"),
        ("a.json.gz", "no gzip", "not JSON"),
        ("a.json.gz", "\x1f\x8b no gzip", "damaged"),
        ("a.txt", "text", "not JSON"),
        ("a.yaml", "names: [a]\n", "none of the folders"),
    ],
)
async def test_a_source_that_is_none(
    house: Parts, tmp_path: Path, name: str, text: str, words: str
) -> None:
    principal = await house.use_cases.access.local()
    source = tmp_path / name
    source.write_text(text, "latin-1")
    with pytest.raises(InvalidInput, match=words):
        await take_in(house, principal, source)
    with pytest.raises(NotFound):
        await take_in(house, principal, tmp_path / "nothing.json")


async def test_bad_documents_of_ours(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    stored = await store(parts, principal)
    document = json.loads(await exported(parts, stored.dataset_id))
    first, second = document["images"][0]["analyses"]
    first["status"] = "DONE"
    second["annotations"][1]["confidence"] = 1.5
    second["annotations"][2]["annotation_type"] = "x"
    third, fourth = document["images"][1]["analyses"]
    third["model_name"] = ""
    fourth["provenance"] = "text"
    document["images"][2]["sha256"] = "0" * 64
    document["images"].append("no image")
    source = tmp_path / "bad.json"
    source.write_text(json.dumps(document))
    report = await take_in(parts, principal, source, "copy")
    assert (report.images_new, report.analyses_new, report.images_missing) == (2, 1, 1)
    told = " ".join(reasons(report))
    for words in ("no status 'DONE'", "confidence", "annotation_type", "model_name", "objects"):
        assert words in told


async def test_names_that_cannot_be_stored(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    """NULs in ids, digests and metadata, which no database keeps."""
    source = coco(tmp_path, [box("a\0b")], count=2)
    document = json.loads(source.read_text())
    document["images"][0]["id"] = "a\0b"
    document["images"][1]["opsin_sha256"] = "\0"
    source.write_text(json.dumps(document))
    report = await take_in(parts, principal, source)
    assert (report.images_new, report.analyses_new) == (2, 1)
    (told,) = reasons(report)
    assert "NULs" in told
    own = json.loads(await exported(parts, report.dataset_id))
    own["images"] = own["images"][:1]
    own["images"][0]["metadata"] = {"a": "\0"}
    source.write_text(json.dumps(own))
    report = await take_in(parts, principal, source, "copy")
    assert report.images_missing == 1 and "NULs" in report.missing[0].reason


async def test_lines_that_are_bad_or_out_of_order(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    stored = await store(parts, principal)
    text = await exported(parts, stored.dataset_id, ExportFormat.NDJSON)
    lines = text.split("\n")[:-1]
    mixed = [*lines[::2], "{broken", "3", *lines[1::2]]
    source = tmp_path / "lines.ndjson"
    source.write_text("\r\n".join(mixed), "utf-8")
    report = await take_in(parts, principal, source, "copy")
    half = len(lines[::2])
    assert reasons(report)[0].startswith(f"lines.ndjson:{half + 1}: not JSON")
    assert reasons(report)[1] == f"lines.ndjson:{half + 2}: an object is expected"
    assert (report.images_new, report.analyses_new) == (2, 4)
    assert report.annotations_new == len(lines)


async def test_ids_that_are_odd_numbers(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    """Numbers below zero, and those of more digits than 64 bits have."""
    picture(tmp_path, "-2.jpg", 1)
    one = {"model_name": "m", "model_version": "1", "status": "completed", "annotations": []}
    picture(tmp_path, "other.jpg", 2)
    many = [one | {"id": n, "image_id": -2} for n in (1, 2)]
    other = {"filename": "other.jpg", "analyses": [one]}
    source = tmp_path / "analyses.json"
    source.write_text(json.dumps([many[0], other, many[1]]))
    report = await take_in(parts, principal, source, form=ImportFormat.VISTA)
    assert (report.images_new, report.analyses_new) == (2, 3), reasons(report)
    line: dict[str, object] = {
        "image_filename": "-2.jpg",
        "image_id": "a",
        "model_name": "m",
        "model_version": "1",
    }
    line |= {"analysis_status": "completed", "annotation_type": "point", "data": {}}
    lines = [line | {"analysis_id": 10**30 + n} for n in (0, 1, 0)]
    (tmp_path / "lines.ndjson").write_text("\n".join(map(json.dumps, lines)))
    report = await take_in(parts, principal, tmp_path / "lines.ndjson", "lines")
    assert (report.images_new, report.analyses_new, report.annotations_new) == (1, 2, 3)
