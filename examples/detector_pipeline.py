"""A detector beside the server: faces of every image of a project, with boxes and landmarks.

MTCNN of facenet-pytorch, whose weights come with the package (pip install facenet-pytorch).

    python examples/detector_pipeline.py PROJECT_ID --follow
"""

import argparse
import contextlib
import io
import os
from collections.abc import Iterator

import torch
from facenet_pytorch import MTCNN
from PIL import Image, ImageOps

from opsin.client import Annotation, Client, ClientError, Model, bounding_box, keypoints

MODEL = Model("mtcnn", "facenet-pytorch-2.5.3")
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def findings(detector: MTCNN, picture: Image.Image, least: float) -> Iterator[Annotation]:
    """A box and five landmarks for each face, in pixels."""
    boxes, scores, points = detector.detect(picture, landmarks=True)
    if boxes is None:
        return
    for (left, top, right, bottom), score, landmarks in zip(boxes, scores, points, strict=True):
        if score >= least:
            # Where MTCNN looks beyond the edge, the picture ends.
            x, y = max(left, 0.0), max(top, 0.0)
            width, height = min(right, picture.width) - x, min(bottom, picture.height) - y
            yield bounding_box(x, y, width, height, "face", score)
            yield keypoints(dict(zip(LANDMARKS, landmarks, strict=True)), "face", score)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Finds faces in the images of a project that were not looked at yet. "
        "OPSIN_API_KEY and ML_CALLBACK_HMAC_SECRET are read from the environment; the server's "
        f"ML_ALLOWED_MODELS must have {MODEL.name}."
    )
    parser.add_argument("project", help="id of the project")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--least", type=float, default=0.9, help="least confidence (default 0.9)")
    parser.add_argument("--follow", action="store_true", help="wait for new images, until Ctrl-C")
    given = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = MTCNN(keep_all=True, device=device)
    parameters = {"least": given.least, "device": device}
    with Client(
        given.url,
        api_key=os.environ.get("OPSIN_API_KEY"),
        secret=os.environ["ML_CALLBACK_HMAC_SECRET"],
    ) as client:
        for image in client.images(given.project, without=MODEL, follow=given.follow):
            try:
                with client.analysis(
                    image, model=MODEL.name, version=MODEL.version, parameters=parameters
                ) as analysis:
                    # Positions are those of the picture as displayed: turned as its EXIF says.
                    opened = ImageOps.exif_transpose(
                        Image.open(io.BytesIO(client.read_image(image)))
                    )
                    count = analysis.add_all(findings(detector, opened.convert("RGB"), given.least))
                    analysis.summary["faces"] = count // 2
            except (ClientError, OSError) as error:  # this one has failed; the others go on
                print(f"{image.filename}: {error}", flush=True)
            else:
                print(f"{image.filename}: {count // 2} faces", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
