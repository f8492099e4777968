"""What the viewer's measurements show: a picture with many boxes, and a dataset of many images."""

import contextlib
import random
import sqlite3
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from bench.server import data, new_image
from opsin.storage.ids import new_ids

WIDTH, HEIGHT = 3200, 2400  # pixels of the picture


def dataset_of(client: httpx.Client, image: str) -> str:
    query = "query($id: ID!) { image(id: $id) { dataset { id } } }"
    return str(data(client, query, id=image)["image"]["dataset"]["id"])


def copy_image(path: Path, image: str, count: int) -> None:
    """Rows of so many images more with the same picture, past the doors to save half an hour."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM images WHERE id = ?", [image]).fetchone()
        names = row.keys()
        statement = (
            f"INSERT INTO images ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        )
        connection.executemany(
            statement,
            (
                [*(made | {"id": new, "filename": f"copy_{number:06}.jpg"}).values()]
                for made in [dict(row)]
                for number, new in enumerate(new_ids(count))
            ),
        )


def image_with(client: httpx.Client, count: int) -> str:
    """The id of an image in which an external model found so many boxes."""
    rng = random.Random(count)
    out = BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 100, count % 255)).save(out, "JPEG")
    image = new_image(client, out.getvalue())
    made = data(
        client,
        "mutation($i: CreateAnalysisInput!) { createAnalysis(input: $i) { id } }",
        i={"imageId": image, "modelName": "crowd", "modelVersion": "1"},
    )
    analysis = made["createAnalysis"]["id"]
    found = [_box(rng) for _ in range(count)]
    for start in range(0, count, 1000):
        data(
            client,
            "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
            i={"analysisId": analysis, "annotations": found[start : start + 1000]},
        )
    data(
        client,
        "mutation($i: FinalizeAnalysisInput!) { finalizeAnalysis(input: $i) { id } }",
        i={"analysisId": analysis},
    )
    return image


def _box(rng: random.Random) -> dict[str, Any]:
    corner = [rng.uniform(0, WIDTH - 60), rng.uniform(0, HEIGHT - 60)]
    return {
        "annotationType": "bounding_box",
        "className": f"class {rng.randint(0, 11)}",
        "confidence": round(rng.random(), 3),
        "data": {"bbox": [*corner, rng.uniform(8, 60), rng.uniform(8, 60)], "format": "xywh"},
    }
