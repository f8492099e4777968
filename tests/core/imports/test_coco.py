"""COCO comes in as it is: every form of geometry, whatever the order, and each fault told of."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.exports.request import ExportFormat
from opsin.core.exports.shapes import read_shape
from opsin.core.imports.options import ImportOptions
from tests.core.imports.making import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    box,
    coco,
    content,
    exported,
    findings,
    reasons,
    take_in,
)

POLYGON = [[1, 2, 30, 4, 5, 40.5]]


async def test_a_file_in_any_order(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    given = [
        box(2, category_id=7, bbox=[1.25, 2, 3, 4], score=0.5),
        box(1, segmentation=POLYGON, area=12.5, iscrowd=0, attributes={"wet": True}),
        box(2),
    ]
    source = coco(tmp_path, given)
    document = json.loads(source.read_text())
    # Where each list stands is nobody's promise.
    source.write_text(json.dumps({name: document[name] for name in sorted(document)}))
    report = await take_in(parts, principal, source)
    assert report.is_complete
    assert (report.images_new, report.analyses_new, report.annotations_new) == (2, 2, 3)
    first, second = await content(parts, report)
    assert (first["filename"], first["width"], first["height"]) == ("001.jpg", WIDTH, HEIGHT)
    (analysis,) = second["analyses"]
    assert (analysis["status"], analysis["model_name"]) == ("COMPLETED", "instances")
    assert analysis["provenance"]["imported"] == {
        "source": "instances.json",
        "sha256": report.sha256,
        "format": "coco",
        "image": {"id": 2, "file_name": "002.jpg"},
        "categories": {"7": {"name": "dog"}, "1": {"name": "cat", "supercategory": "animal"}},
    }
    assert await findings(parts, report) == [
        {
            "annotation_type": "segmentation",
            "class_name": "cat",
            "confidence": None,
            "data": {
                "bbox": [1, 2, 3, 4],
                "format": "xywh",
                "segmentation": POLYGON,
                "coco": {"area": 12.5, "attributes": {"wet": True}},
            },
        },
        {
            "annotation_type": "bounding_box",
            "class_name": "dog",
            "confidence": 0.5,
            "data": {"bbox": [1.25, 2, 3, 4], "format": "xywh"},
        },
        {
            "annotation_type": "bounding_box",
            "class_name": "cat",
            "confidence": None,
            "data": {"bbox": [1, 2, 3, 4], "format": "xywh"},
        },
    ]


async def test_an_image_with_nothing_is_an_analysis_with_nothing(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    report = await take_in(parts, principal, coco(tmp_path, [box(2)]))
    first, _ = await content(parts, report)
    (analysis,) = first["analyses"]
    assert analysis["status"] == "COMPLETED" and analysis["annotations"] == []


async def test_what_comes_in_goes_out_again(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    """Masks of pycocotools in both forms, poses and outlines; its reader reads what we export."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    pixels[10:20, 5:40] = 1
    packed = coco_mask.encode(pixels)
    packed = {"size": packed["size"], "counts": packed["counts"].decode()}
    plain = {"size": [HEIGHT, WIDTH], "counts": [5 * HEIGHT + 10, 10]}
    plain["counts"] += [HEIGHT - 10, 10] * 34
    plain["counts"].append(HEIGHT * WIDTH - sum(plain["counts"]))
    pose = {
        "id": 3, "name": "person", "supercategory": "person",
        "keypoints": ["nose", "left", "right"], "skeleton": [[1, 2], [2, 3]],
    }  # fmt: skip
    around = [5, 10, 35, 10]
    given = [
        box(1, id=1, segmentation=packed, bbox=around, area=350, iscrowd=1),
        box(1, id=2, segmentation=plain, bbox=around, area=350),
        box(1, id=3, segmentation=POLYGON, area=700.5, iscrowd=0, track_id=4),
        box(2, id=4, category_id=3, keypoints=[1, 2, 2, 30, 20, 1, 0, 0, 0], num_keypoints=2,
            segmentation=POLYGON, area=99),
        box(2, id=5, category_id=7, area=12, score=0.25),
    ]  # fmt: skip
    source = coco(tmp_path, given, categories=[*CATEGORIES, pose])
    report = await take_in(parts, principal, source)
    assert report.is_complete and report.annotation_types == {
        "bounding_box": 1, "segmentation": 3, "keypoint": 1,
    }  # fmt: skip
    text = await exported(parts, report.dataset_id, ExportFormat.COCO)
    out = tmp_path / "out.json"
    out.write_text(text)
    before, after = COCO(str(source)), COCO(str(out))
    assert len(after.anns) == len(before.anns)
    for old, new in zip(before.anns.values(), after.anns.values(), strict=True):
        names = old.keys() - {"id", "image_id", "category_id"}
        assert {name: new[name] for name in names} == {name: old[name] for name in names}
        assert after.imgs[new["image_id"]]["file_name"] == before.imgs[old["image_id"]]["file_name"]
        assert after.cats[new["category_id"]]["name"] == before.cats[old["category_id"]]["name"]
        if new["segmentation"]:
            assert (_mask(before, old) == _mask(after, new)).all()
    (person,) = after.loadCats(after.getCatIds(catNms=["person"]))
    assert (person["keypoints"], person["skeleton"]) == (pose["keypoints"], pose["skeleton"])
    # And what was exported is the same when it has been imported and exported again.
    again = await take_in(parts, principal, out, "again", images=tmp_path / "images")
    assert again.is_complete and again.images_new == 2
    assert _comparable(await exported(parts, again.dataset_id, ExportFormat.COCO)) == _comparable(
        text
    )


def _mask(reader: COCO, annotation: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        # pycocotools 2.0.11 gives NumPy an array of the older protocol.
        warnings.simplefilter("ignore", DeprecationWarning)
        return reader.annToMask(annotation)


def _comparable(text: str) -> Any:
    document = json.loads(text)
    del document["info"]
    for one in (*document["images"], *document["annotations"]):
        for name in ("opsin_id", "opsin_analysis_id", "date_captured"):
            one.pop(name, None)
    return document


async def test_results_of_a_detector(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    truth = coco(tmp_path, [], count=3)
    results = tmp_path / "results.json"
    found = [
        {"image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.75},
        {"image_id": 1, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 1},
        {"image_id": 3, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0},
    ]
    results.write_text(json.dumps(found))
    with pytest.raises(InvalidInput, match="--described-by"):
        await take_in(parts, principal, results)
    options = ImportOptions(model_name="yolo", model_version="11")
    report = await take_in(parts, principal, results, options=options, described_by=truth)
    assert report.is_complete and (report.analyses_new, report.annotations_new) == (2, 3)
    images = await content(parts, report)
    # The second has no result: whether it was looked at, the file does not say.
    assert [image["filename"] for image in images] == ["001.jpg", "003.jpg"]
    analysis = images[1]["analyses"][0]
    assert (analysis["model_name"], analysis["model_version"]) == ("yolo", "11")
    assert [one["confidence"] for one in analysis["annotations"]] == [0.75, 0]
    assert analysis["provenance"]["imported"]["described_by"]["source"] == "instances.json"


async def test_captions_and_ids_of_text(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    source = coco(tmp_path, [{"image_id": "a", "id": "x", "caption": "a cat"}], count=1)
    source.write_text(
        source.read_text().replace('"id": 1,\n   "file_name"', '"id": "a", "file_name"')
    )
    report = await take_in(parts, principal, source)
    assert report.is_complete
    assert [one["data"] for one in await findings(parts, report)] == [{"text": "a cat"}]


async def test_a_picture_of_another_size_than_the_file_tells(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1, bbox=[10, 10, 20, 30])], count=1)
    doubled = source.read_text().replace(f'"width": {WIDTH}', f'"width": {2 * WIDTH}')
    source.write_text(doubled.replace(f'"height": {HEIGHT}', f'"height": {2 * HEIGHT}'))
    report = await take_in(parts, principal, source)
    assert report.is_complete and list(report.findings.notes) == [
        "pictures of another size than the file tells, scaled"
    ]
    (found,) = await findings(parts, report)
    shape = read_shape(found["data"], WIDTH, HEIGHT)
    assert shape is not None and shape.box == (5, 5, 10, 15)


KEYPOINTS = [{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}]
FULL = HEIGHT * WIDTH
BAD: list[tuple[dict[str, Any], str]] = [
    (box(9), "its image_id is not among the images"),
    (box(None), "there is no image_id"),
    (box(1, category_id=9), "category_id 9 is not among the categories"),
    (box(1, category_id=None), "there is no category_id"),
    (box(1, bbox=[1, 2, -3, 4]), "negative side"),
    (box(1, bbox=[1, 2, 3]), "bbox must be four numbers"),
    (box(1, bbox=[1, 2, 3, "4"]), "bbox must be four numbers"),
    (box(1, bbox=[1, 2, 3, True]), "bbox must be four numbers"),
    (box(1, score=1.01), "score 1.01 is not a number from 0 to 1"),
    (box(1, score="high"), "score high is not"),
    (box(1, bbox=[float("nan"), 2, 3, 4]), "not JSON"),
    (box(1, score=float("inf")), "not JSON"),
    (box(1, segmentation=[[1, 2, 3, 4]]), "three at least"),
    (box(1, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "pairs of numbers"),
    (box(1, segmentation=[1, 2, 3, 4, 5, 6]), "a polygon must be a list"),
    (box(1, segmentation="text"), "polygons or run lengths"),
    (box(1, segmentation={"counts": [5, 5], "size": [HEIGHT, WIDTH]}), f"fill 10 of {FULL}"),
    (box(1, segmentation={"counts": [FULL], "size": [WIDTH, HEIGHT]}), "but the image is"),
    (box(1, segmentation={"counts": [FULL]}), "need a size"),
    (box(1, segmentation={"counts": [-1, FULL], "size": [HEIGHT, WIDTH]}), "no run lengths"),
    (box(1, segmentation={"counts": "\x00", "size": [HEIGHT, WIDTH]}), "no run lengths"),
    (box(1, keypoints=[1, 2, 2]), "1 keypoints, but the category names 2"),
    (box(1, keypoints=[1, 2, 2, 3]), "by three"),
    (box(1, keypoints=[1, 2, 5, 1, 2, 2]), "5 is no visibility"),
    (box(1, caption=1, bbox=None), "a caption must be a text"),
    (box(1, attributes="\x00"), "NULs"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
async def test_a_bad_annotation_fails_alone_and_is_told_of(
    house: Parts, tmp_path: Path, bad: dict[str, Any], reason: str
) -> None:
    principal = await house.use_cases.access.local()
    source = coco(tmp_path, [box(1), bad, box(1)], count=1, categories=KEYPOINTS)
    report = await take_in(house, principal, source)
    assert not report.is_complete and report.annotations_new == 2
    (told,) = reasons(report)
    assert reason in told
    lines = source.read_text().splitlines()
    number = int(told.split(":")[1])
    # The line is that of the annotation, or inside it: the second of three.
    first, _, third = (at for at, line in enumerate(lines, 1) if '"image_id"' in line)
    assert first < number < third


async def test_faults_of_images_and_categories(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1), box(2), box(1, category_id=3)], count=1)
    document = json.loads(source.read_text())
    document["images"] += [
        {"id": 1, "file_name": "001.jpg"},
        {"file_name": "001.jpg"},
        {"id": 2},
        {"id": 3, "file_name": "missing.jpg"},
        {"id": 4, "file_name": "/etc/passwd"},
        {"id": 5, "file_name": "../instances.json"},
        {"id": 6, "file_name": "C:\\pictures\\1.jpg"},
        {"id": 7, "file_name": "bad.jpg"},
        {"id": 8, "file_name": "a\0b.jpg"},
    ]
    document["categories"] += [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}, {"id": 4}, {}]
    (tmp_path / "images/bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    source.write_text(json.dumps(document))
    report = await take_in(parts, principal, source)
    assert (report.images_new, report.images_missing, report.annotations_new) == (1, 7, 1)
    missing = [one.reason for one in report.missing]
    assert [text.partition(": ")[2] for text in missing[:5]] == [
        "its picture is not there",
        "its picture is not there",
        "its name is absolute; only files in the folder of pictures are read",
        "its name leads out of the folder of pictures",
        "its name is absolute; only files in the folder of pictures are read",
    ]
    assert "JPEG" in missing[5] and "NUL" in missing[6]
    told = " ".join(reasons(report))
    for words in ("an image of this id was before", "an image needs an id", "two meanings"):
        assert words in told
    assert told.count("a category needs") == 2


async def test_boxes_that_leave_their_picture_are_kept(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    outside = [-3.5, -1, 200, 100]
    report = await take_in(parts, principal, coco(tmp_path, [box(1, bbox=outside)], count=1))
    assert report.is_complete
    assert report.findings.notes == {"boxes that leave their picture, kept as they are": 1}
    (found,) = await findings(parts, report)
    assert found["data"]["bbox"] == outside


async def test_equal_ids_of_annotations_are_kept(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    report = await take_in(parts, principal, coco(tmp_path, [box(1), box(1), box(2)]))
    assert report.is_complete and report.annotations_new == 3
    assert report.findings.notes == {"annotations whose id another one has, kept": 2}


async def test_lists_with_what_is_no_object(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    source = coco(tmp_path, [box(1), box(1)], count=1)
    document = json.loads(source.read_text())
    document["annotations"] = [1, *document["annotations"]]
    document["categories"] += ["bird", ["bird"]]
    source.write_text(json.dumps(document))
    report = await take_in(parts, principal, source)
    assert report.annotations_new == 2
    assert [text.partition(": ")[2] for text in reasons(report)] == [
        "annotations holds what is no object",
        "not JSON: there must be a comma, and nothing else",
    ]


async def test_lists_that_are_none(house: Parts, tmp_path: Path) -> None:
    principal = await house.use_cases.access.local()
    for document in (
        {"images": [], "annotations": 3},
        {"images": "none", "categories": []},
        {"images": {"1": {"id": 1}}, "categories": []},
    ):
        source = tmp_path / "a.json"
        source.write_text(json.dumps(document))
        with pytest.raises(InvalidInput, match="must be a list"):
            await take_in(house, principal, source)
