"""COCO files: what their readers index by is there, refers to what is there, and means pixels."""

import json
from collections import Counter
from typing import Any

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.exports.request import ExportFilter, ExportFormat, TargetKind
from tests.core.exports.stored import external, store, store_many


async def coco(parts: Parts, kind: TargetKind, identity: str, **wanted: str) -> Any:
    exports = parts.use_cases.exports
    target = await exports.by_id(kind, identity)
    chosen = ExportFilter.read(wanted)
    return json.loads(
        b"".join([c async for c in exports.stream(target, ExportFormat.COCO, chosen)])
    )


def check(document: Any) -> None:
    """What pycocotools builds its index of, and what its evaluation reads."""
    assert {"info", "licenses", "images", "annotations", "categories"} <= document.keys()
    images = {image["id"]: image for image in document["images"]}
    categories = {category["id"]: category for category in document["categories"]}
    ids = [annotation["id"] for annotation in document["annotations"]]
    assert list(images) == list(range(1, len(document["images"]) + 1))
    assert list(categories) == list(range(1, len(document["categories"]) + 1))
    assert ids == list(range(1, len(ids) + 1))
    for image in images.values():
        assert {"file_name", "width", "height", "opsin_id"} <= image.keys()
    for annotation in document["annotations"]:
        image, category = images[annotation["image_id"]], categories[annotation["category_id"]]
        x, y, width, height = annotation["bbox"]
        assert min(x, y, width, height, annotation["area"]) >= 0
        assert x + width <= image["width"] and y + height <= image["height"]
        assert annotation["iscrowd"] == 0 and annotation["segmentation"] is not None
        points = annotation.get("keypoints", [])
        assert len(points) == 3 * len(category.get("keypoints", []))


async def test_a_dataset(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    document = await coco(parts, TargetKind.DATASET, stored.dataset_id)
    check(document)
    assert stored.dataset_id in document["info"]["description"]
    assert [image["opsin_id"] for image in document["images"]] == [i.id for i in stored.images]
    assert document["images"][2]["file_name"] == "picture, 2.png"
    names = [category["name"] for category in document["categories"]]
    assert names == ["cat", '=cmd|"/C calc"!A0', "-dog"]
    assert document["categories"][2]["keypoints"] == ["nose"]
    assert document["opsin"] == {"annotations_without_geometry": 8}
    annotations = document["annotations"]
    assert Counter(a["image_id"] for a in annotations) == {1: 6, 2: 6}
    first, second, third = annotations[:3]
    assert (first["bbox"], first["area"], first["score"]) == ([4, 3, 10, 6], 60, 0.1 + 0.2)
    assert second["bbox"] == pytest.approx([4, 6, 20, 15])  # of 40 x 30
    assert (third["keypoints"], third["num_keypoints"]) == ([5, 6, 2], 1)
    assert first["opsin_analysis_id"] == stored.analyses[0][0].id


async def test_a_class_has_one_category_for_each_set_of_keypoints(
    parts: Parts, principal: Principal
) -> None:
    stored = await store(parts, principal)
    analysis = await external(parts, principal, stored.images[2], "poses")

    def pose(*names: str) -> dict[str, Any]:
        points = [{"name": name, "x": 1, "y": 2} for name in names]
        data = {"keypoints": points}
        return {"annotation_type": "keypoint", "class_name": "person", "data": data}

    box = {"annotation_type": "bounding_box", "data": {"bbox": [0, 0, 1, 1]}}
    found = [pose("nose"), pose("nose", "tail"), pose("nose"), box, box | {"class_name": "person"}]
    await parts.use_cases.annotations.add(principal, analysis.id, found)
    document = await coco(parts, TargetKind.ANALYSIS, analysis.id)
    check(document)
    assert [c.get("keypoints") for c in document["categories"]] == [
        ["nose"],
        ["nose", "tail"],
        None,
        None,
    ]
    names = [c["name"] for c in document["categories"]]
    assert names == ["person", "person", "bounding_box", "person"]
    assert [a["category_id"] for a in document["annotations"]] == [1, 2, 1, 3, 4]
    assert [image["opsin_id"] for image in document["images"]] == [stored.images[2].id]


async def test_numbers_of_any_length(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    analysis = await external(parts, principal, stored.images[2], "long")
    box = {"bbox": [0, 0, 1, 1], "coco": {"track": 2**70, "iscrowd": 1}}
    mask = {"rle": {"counts": [0, 2**70], "size": [2**70, 1]}}
    found = [{"annotation_type": "segmentation", "data": data} for data in (box, mask)]
    await parts.use_cases.annotations.add(principal, analysis.id, found)
    document = await coco(parts, TargetKind.ANALYSIS, analysis.id)
    first, second = document["annotations"]
    assert (first["track"], first["iscrowd"]) == (2**70, 1)
    assert second["segmentation"]["counts"] == [0, 2**70]


async def test_filters_leave_the_images(parts: Parts, principal: Principal) -> None:
    stored = await store(parts, principal)
    document = await coco(
        parts, TargetKind.DATASET, stored.dataset_id, class_name="cat", model_name="yolo"
    )
    check(document)
    assert len(document["images"]) == 3 and len(document["annotations"]) == 2
    assert [category["name"] for category in document["categories"]] == ["cat"]


async def test_many_annotations_of_many_images(parts: Parts, principal: Principal) -> None:
    stored = await store_many(parts, principal, 4000)
    analysis = await external(parts, principal, stored.images[2], "last")
    box = {"annotation_type": "bounding_box", "data": {"bbox": [0, 0, 1, 1]}}
    await parts.use_cases.annotations.add(principal, analysis.id, [box] * 3000)
    document = await coco(parts, TargetKind.DATASET, stored.dataset_id)
    check(document)
    counts = Counter(a["image_id"] for a in document["annotations"])
    assert counts == {1: 4006, 2: 6, 3: 3000}
