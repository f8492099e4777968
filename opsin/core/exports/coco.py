"""COCO: images, annotations with geometry in pixels, and the categories met on the way."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from opsin.core.exports.selection import Selection
from opsin.core.exports.shapes import Shape, coco_fields, read_shape
from opsin.storage.json_text import dump_json, load_json
from opsin.storage.snapshot import Rows, Snapshot

Texts = AsyncGenerator[str, None]
_Category = tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]
"""Its name, the names of its keypoints, and which of them are joined."""


async def coco(snapshot: Snapshot, selection: Selection) -> Texts:
    """The file; images and annotations are numbered from 1, `opsin_id` is how Opsin names them.

    What has no geometry (captions, classifications, heatmaps) is left out and counted.
    """
    now = datetime.now(UTC)
    yield _text(
        {"description": f"Opsin {selection.target.kind.name.lower()} {selection.target.id}"}
        | {"version": "1.0", "year": now.year, "date_created": now.isoformat()}
    ).join(('{"info":', ',"licenses":[],"images":['))
    number = 0
    async with aclosing(snapshot.rows(*selection.coco_images())) as groups:
        async for rows in groups:
            first, number = number, number + len(rows)
            separator = ",\n" if first else ""
            yield separator + ",\n".join(
                [f'{{"id":{first + at},{row[1]}}}' for at, row in enumerate(rows, 1)]
            )
    yield '],"annotations":['
    writer = _Annotations()
    # The images once more, only to count: a dictionary of their numbers would grow with them.
    images = snapshot.rows(*selection.coco_images())
    async with aclosing(images), aclosing(snapshot.rows(*selection.shapes())) as groups:
        numbers = _Numbers(images)
        async for rows in groups:
            of_images = {image_id: await numbers.of(image_id) for image_id in _distinct(rows)}
            # On a thread: thousands of shapes would keep the event loop from the others.
            yield await asyncio.to_thread(writer.write, of_images, rows)
    yield f'],"categories":{_text(writer.categories())}'
    yield f',"opsin":{_text({"annotations_without_geometry": writer.without_geometry})}}}\n'


class _Numbers:
    """The places of images in their order, from 1; they must be asked for in that order."""

    def __init__(self, groups: AsyncGenerator[Rows, None]) -> None:
        self._groups = groups
        self._rows: Iterator[Sequence[Any]] = iter(())
        self._image_id = ""
        self._number = 0

    async def of(self, image_id: str) -> int:
        while self._image_id != image_id:
            row = next(self._rows, None)
            if row is None:
                self._rows = iter(await anext(self._groups))
                continue
            self._image_id, self._number = row[0], self._number + 1
        return self._number


class _Annotations:
    """Numbers annotations and categories as they come."""

    def __init__(self) -> None:
        self.without_geometry = 0
        self._written = 0
        self._categories: dict[_Category, int] = {}

    def write(self, images: Mapping[str, int], rows: Rows) -> str:
        """Some annotations, with commas before them but for the very first."""
        texts = []
        for image_id, analysis_id, identity, width, height, kind, name, confidence, data in rows:
            content = load_json(data)
            shape = read_shape(content, width, height)
            if shape is None:
                self.without_geometry += 1
                continue
            self._written += 1
            texts.append(
                _text(
                    {
                        **coco_fields(content),
                        "id": self._written,
                        "image_id": images[image_id],
                        "category_id": self._category(kind if name is None else name, shape),
                        **_geometry(shape),
                        "iscrowd": int(coco_fields(content).get("iscrowd") in (1, True)),
                        **({} if confidence is None else {"score": confidence}),
                        "opsin_id": identity,
                        "opsin_analysis_id": analysis_id,
                    }
                )
            )
        first = self._written == len(texts)
        return ("" if first or not texts else ",\n") + ",\n".join(texts)

    def categories(self) -> list[dict[str, Any]]:
        """In the order in which they were first met; one for each skeleton of a name."""
        return [
            {"id": number, "name": name, "supercategory": ""}
            | ({"keypoints": keypoints, "skeleton": _from_one(skeleton)} if keypoints else {})
            for (name, keypoints, skeleton), number in self._categories.items()
        ]

    def _category(self, name: str, shape: Shape) -> int:
        category = (name, shape.keypoints, shape.skeleton)
        return self._categories.setdefault(category, len(self._categories) + 1)


def _from_one(skeleton: Sequence[tuple[int, int]]) -> list[list[int]]:
    """COCO counts keypoints from 1."""
    return [[first + 1, second + 1] for first, second in skeleton]


def _distinct(rows: Rows) -> list[str]:
    """The images of the rows, in their order."""
    return list(dict.fromkeys(row[0] for row in rows))


def _geometry(shape: Shape) -> dict[str, Any]:
    found: dict[str, Any] = {"bbox": shape.box, "area": shape.area}
    # Readers expect the field; a box alone has no outline.
    found["segmentation"] = [] if shape.segmentation is None else shape.segmentation
    if shape.keypoints:
        found["keypoints"] = shape.points
        found["num_keypoints"] = sum(visibility > 0 for visibility in shape.points[2::3])
    return found


def _text(value: Any) -> str:
    return dump_json(value)
