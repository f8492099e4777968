"""A heatmap for every image of a project: where a picture holds what the rest of it does not.

The spectral residual with nothing but NumPy and Pillow.  X. Hou, L. Zhang: Saliency detection: a
spectral residual approach.  CVPR 2007.

    python examples/heatmap_pipeline.py PROJECT_ID
"""

import argparse
import contextlib
import io
import os

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from opsin.client import Client, ClientError, Model, heatmap

MODEL = Model("heatmap_generator", "spectral-residual-1")
SIDE = 64  # pixels of the longer side, the scale of the paper


def saliency(picture: Image.Image) -> npt.NDArray[np.float64]:
    """0 to 1 for each pixel of a small copy; all 0 for a plain picture."""
    luma = picture.convert("L")
    luma.thumbnail((SIDE, SIDE))
    values = np.asarray(luma, np.float64) / 255
    if np.ptp(values) < 1e-3:
        return np.zeros_like(values)
    spectrum = np.fft.fft2(values)
    logarithm = np.log(np.abs(spectrum) + 1e-6)
    around = [np.roll(logarithm, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    residual = np.abs(np.fft.ifft2(spectrum * np.exp(-np.mean(around, axis=0)))) ** 2
    found: npt.NDArray[np.float64] = (residual - residual.min()) / np.ptp(residual)
    return found


def as_png(found: npt.NDArray[np.float64], size: tuple[int, int]) -> bytes:
    """Grey, smooth, and as large as the picture."""
    grey = Image.fromarray((found * 255).astype(np.uint8))
    smooth = grey.filter(ImageFilter.GaussianBlur(2.5)).resize(size, Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    ImageOps.autocontrast(smooth).save(encoded, "PNG")
    return encoded.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Makes a heatmap of each image of a project that has none of this model yet. "
        "OPSIN_API_KEY and ML_CALLBACK_HMAC_SECRET are read from the environment."
    )
    parser.add_argument("project", help="id of the project")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--follow", action="store_true", help="wait for new images, until Ctrl-C")
    given = parser.parse_args()

    with Client(
        given.url,
        api_key=os.environ.get("OPSIN_API_KEY"),
        secret=os.environ["ML_CALLBACK_HMAC_SECRET"],
    ) as client:
        for image in client.images(given.project, without=MODEL, follow=given.follow):
            try:
                with client.analysis(image, model=MODEL.name, version=MODEL.version) as analysis:
                    opened = ImageOps.exif_transpose(
                        Image.open(io.BytesIO(client.read_image(image)))
                    )
                    found = saliency(opened)
                    file = analysis.upload(as_png(found, opened.size), "heatmap.png")
                    analysis.add(heatmap(file, "salient"))
                    analysis.summary["mean"] = float(found.mean())
            except (ClientError, OSError) as error:  # this one has failed; the others go on
                print(f"{image.filename}: {error}", flush=True)
            else:
                print(f"{image.filename}: {file.size_bytes} bytes", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
