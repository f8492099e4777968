"""A dataset with what an export may meet: findings of every form, and texts that need care."""

import io
from dataclasses import dataclass, field
from typing import Any

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis, Image
from tests.pictures import solid_png

FINDINGS: list[dict[str, Any]] = [
    {
        "annotation_type": "bounding_box",
        "class_name": "cat",
        "confidence": 0.1 + 0.2,
        "data": {"bbox": [4, 3, 10, 6], "format": "xywh"},
        "ordering": 0,
    },
    {
        "annotation_type": "bounding_box",
        "class_name": '=cmd|"/C calc"!A0',
        "confidence": 1e-7,
        "data": {"bbox": [0.1, 0.2, 0.6, 0.7], "format": "xyxyn"},
    },
    {
        "annotation_type": "caption",
        "data": {"text": 'a "cat",\r\nKäfer \U0001f41e \u2028 \\ \t', "big": 2**70, "none": None},
        "storage_path": "ml_outputs/a/b,c.txt",
        "ordering": -(2**31),
    },
    {"annotation_type": "tag", "class_name": "", "confidence": 1, "data": {}},
    {
        "annotation_type": "keypoint",
        "class_name": "-dog",
        "confidence": 0.5,
        "data": {"keypoints": [{"name": "nose", "x": 5, "y": 6}]},
    },
]


@dataclass
class Stored:
    """One dataset, its images in order, and the analyses of each."""

    dataset_id: str
    images: list[Image] = field(default_factory=list)
    analyses: list[list[Analysis]] = field(default_factory=list)


async def store(parts: Parts, principal: Principal) -> Stored:
    """Two images with two analyses each, the second ones completed, and one without any."""
    dataset = await parts.use_cases.datasets.create(principal, 'a "dataset"', "with\nlines")
    stored = Stored(dataset.id)
    for number in range(3):
        new = NewImage(dataset.id, f"picture, {number}.png", metadata={"n": number})
        image = await parts.use_cases.images.add(principal, new, io.BytesIO(solid_png(40, 30)))
        stored.images.append(image)
        stored.analyses.append([])
        for model in ("yolo", "+detr") if number < 2 else ():
            analysis = await external(parts, principal, image, model)
            await parts.use_cases.annotations.add(principal, analysis.id, FINDINGS)
            if model != "yolo":
                await parts.use_cases.analyses.finalize(
                    principal, analysis.id, AnalysisStatus.COMPLETED, summary={"found": 5}
                )
            stored.analyses[-1].append(analysis)
    return stored


async def external(parts: Parts, principal: Principal, image: Image, model: str) -> Analysis:
    new = NewExternalAnalysis(image.id, model, "8.1", {"threshold": 0.5})
    return await parts.use_cases.analyses.tell(principal, new)


async def store_many(parts: Parts, principal: Principal, many: int = 20_000) -> Stored:
    """One image with as many boxes, in analyses of 2,000."""
    stored = await store(parts, principal)
    for start in range(0, many, 2000):
        analysis = await external(parts, principal, stored.images[0], "many")
        found = [FINDINGS[0] | {"ordering": number} for number in range(start, start + 2000)]
        await parts.use_cases.annotations.add(principal, analysis.id, found)
    return stored
