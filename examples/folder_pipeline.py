"""A folder on this machine: new pictures go to the server, each is analysed, once.

Start it again as often as you like: the server knows every file by its sha256 and every finished
analysis, so it goes on where it stopped.  The analysis tells sharp pictures from blurred ones.

    python examples/folder_pipeline.py PICTURES PROJECT_ID
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from opsin.client import Annotation, Client, ClientError, Model, classification
from opsin.client import Image as StoredImage

MODEL = Model("sharpness", "laplacian-1")
ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
SHARP = 0.002  # variance of the Laplacian of luma from 0 to 1; below it, a picture is blurred


def pictures(folder: Path) -> Iterator[Path]:
    """Every picture below the folder, in the order of the paths."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS and path.is_file():
            yield path


def sharpness(path: Path) -> float:
    """The variance of the Laplacian, at 512 pixels so that large files are not sharper."""
    with Image.open(path) as opened:
        luma = ImageOps.exif_transpose(opened).convert("L")
    luma.thumbnail((512, 512))
    values = np.asarray(luma, np.float64) / 255
    if min(values.shape) < 3:
        return 0.0
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((around - 4 * inner).var())


def is_done(client: Client, image: StoredImage) -> bool:
    return any(
        (one.model_name, one.model_version, one.status) == (MODEL.name, MODEL.version, "completed")
        for one in client.analyses(image)
    )


def work(client: Client, path: Path, given: argparse.Namespace) -> str:
    """Upload and analyse one file; gives what to say of it."""
    metadata = {"path": path.relative_to(given.folder).as_posix()}
    uploaded = client.upload_image(given.project, path, metadata=metadata)
    if is_done(client, uploaded.image):
        return "done before"
    with client.analysis(uploaded.image, model=MODEL.name, version=MODEL.version) as analysis:
        found = sharpness(path)
        sharp = found / (found + SHARP)  # 0.5 at the limit
        analysis.add(
            Annotation("metric", {"name": "variance of the Laplacian", "value": found}),
            classification({"sharp": sharp, "blurred": 1 - sharp}),
        )
    return f"{'new' if uploaded.is_new else 'known'}, sharpness {found:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Uploads the pictures of a folder and tells how sharp they are. "
        "OPSIN_API_KEY and ML_CALLBACK_HMAC_SECRET are read from the environment; the server's "
        f"ML_ALLOWED_MODELS must have {MODEL.name}."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("project", help="id of the project")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    given = parser.parse_args()

    failed = 0
    with Client(
        given.url,
        api_key=os.environ.get("OPSIN_API_KEY"),
        secret=os.environ["ML_CALLBACK_HMAC_SECRET"],
    ) as client:
        for path in pictures(given.folder):
            try:
                print(f"{path}: {work(client, path, given)}", flush=True)
            except (ClientError, OSError) as error:  # this one has failed; the others go on
                failed += 1
                print(f"{path}: {error}", flush=True)
    if failed:
        raise SystemExit(f"{failed} pictures failed; start again to try them again")


if __name__ == "__main__":
    main()
