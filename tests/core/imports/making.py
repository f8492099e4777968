"""Sources on disk as tools write them, and imports of them into a running house."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.report import ImportReport
from opsin.core.imports.sources import SourcePaths
from tests.pictures import noise_jpeg

WIDTH, HEIGHT = 64, 48
CATEGORIES = [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 7, "name": "dog"}]


def picture(folder: Path, name: str, seed: int = 0) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(noise_jpeg(WIDTH, HEIGHT, seed))
    return path


def coco(
    folder: Path,
    annotations: Sequence[dict[str, Any]],
    *,
    count: int = 2,
    categories: Sequence[dict[str, Any]] = CATEGORIES,
    name: str = "instances.json",
    **more: Any,
) -> Path:
    """A file with `count` images whose pictures are in `images`, numbered from 1."""
    images = []
    for number in range(1, count + 1):
        picture(folder, f"images/{number:03}.jpg", number)
        images.append(
            {"id": number, "file_name": f"{number:03}.jpg", "width": WIDTH, "height": HEIGHT}
        )
    document = {"images": images, "annotations": list(annotations), "categories": list(categories)}
    path = folder / name
    path.write_text(json.dumps(document | more, indent=1))
    return path


def box(image_id: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image_id, "category_id": 1, "bbox": [1, 2, 3, 4]} | more


async def take_in(
    parts: Parts,
    principal: Principal,
    source: Path,
    dataset: str = "imported",
    *,
    options: ImportOptions | None = None,
    **paths: Any,
) -> ImportReport:
    return await parts.use_cases.imports.run(
        principal, SourcePaths(source, **paths), dataset, options or ImportOptions()
    )


async def exported(
    parts: Parts,
    identity: str | None,
    form: ExportFormat = ExportFormat.JSON,
    kind: TargetKind = TargetKind.DATASET,
) -> str:
    assert identity is not None
    target = await parts.use_cases.exports.by_id(kind, identity)
    chunks = parts.use_cases.exports.stream(target, form)
    return b"".join([chunk async for chunk in chunks]).decode()


async def content(parts: Parts, report: ImportReport) -> list[dict[str, Any]]:
    """The images of the dataset that was imported into, as the export tells them."""
    document = json.loads(await exported(parts, report.dataset_id))
    found: list[dict[str, Any]] = document["images"]
    return found


async def findings(parts: Parts, report: ImportReport) -> list[dict[str, Any]]:
    """Type, class, confidence and data of every annotation of the dataset, in order."""
    names = ("annotation_type", "class_name", "confidence", "data")
    return [
        {name: one[name] for name in names}
        for image in await content(parts, report)
        for analysis in image["analyses"]
        for one in analysis["annotations"]
    ]


def reasons(report: ImportReport) -> list[str]:
    """Each refusal as it is told to people."""
    return [f"{one.place}: {one.reason}" for one in report.findings.refusals.first]
