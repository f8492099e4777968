"""Pictures found by words and by each other with CLIP itself, from the upload to the answer."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from opsin import Picture
from opsin.settings import Settings
from tests.conftest import serve
from tests.graphql.asking import dataset
from tests.graphql.test_similar import LIKE, SIMILAR, portrait_as, run, stored
from tests.pictures import noise_jpeg, portrait, solid_png
from tests.plugins.published import clip_folder
from tests.plugins.reference import clip_pictures, clip_texts
from tests.plugins.running import Matrix

CLIP = "embed_clip_vit_b_32"
TEXT = "two dogs and 3 whales in the sea"
VECTOR = "query($id: ID!) { analysis(id: $id) { result { ... on Embedding { vector } } } }"


def pixels(content: bytes) -> Picture:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


def cosines(vectors: Matrix, query: Matrix) -> list[float]:
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return [float(cosine) for cosine in (vectors @ query) / lengths]


async def test_pictures_are_found_as_the_model_itself_would_find_them(tmp_path: Path) -> None:
    """A small CLIP in the published format, beside what transformers makes of its files."""
    folder = clip_folder(tmp_path / "clip")
    models = tmp_path / "models.toml"
    models.write_text(f"[{CLIP}.encoder]\nfolder = '{folder}'\n")
    settings = Settings(
        data_dir=tmp_path / "data", models=models, offline=True, device="cpu", poll_seconds=0.05
    )
    contents = [portrait(), portrait_as(60), noise_jpeg(224, 224), solid_png(224, 224)]
    expected = clip_pictures(folder, [pixels(content) for content in contents])
    async with serve(settings) as live:
        dataset_id = await dataset(live)
        images = [await stored(live, dataset_id, content) for content in contents]
        # Normalised or not: a cosine is the same.
        analyses = [
            await run(live, image, CLIP, normalize=bool(number % 2))
            for number, image in enumerate(images)
        ]
        vector = (await live.data(VECTOR, id=analyses[0]))["analysis"]["result"]["vector"]
        assert np.allclose(vector, expected[0], atol=1e-4)
        found = (await live.data(SIMILAR, id=images[0], operation=CLIP))["similarImages"]
        by_image = dict(zip(images, cosines(expected, expected[0]), strict=True))
        del by_image[images[0]]
        _check(found, by_image)
        found = (await live.data(LIKE, text=TEXT, operation=CLIP))["imagesLike"]
        query = clip_texts(folder, [TEXT])[0]
        _check(found, dict(zip(images, cosines(expected, query), strict=True)))


def _check(found: list[dict[str, Any]], expected: dict[str, float]) -> None:
    """The images in the order of the expected cosines, which they have."""
    assert {one["image"]["id"] for one in found} == expected.keys()
    similarities = [one["similarity"] for one in found]
    assert similarities == sorted(similarities, reverse=True)
    for one, similarity in zip(found, similarities, strict=True):
        assert abs(similarity - expected[one["image"]["id"]]) < 1e-3
