"""The plain handler of an uploaded picture, for `bench/image_embed.py`.

Decode, models, PNG and JSON one after the other on the event loop, one request at a time, with the
same checkpoints and libraries: `python -m bench.image_embed_plain CLIP_FOLDER PORT`.
"""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Form, UploadFile
from PIL import Image

from bench.inference.model import Pipeline


class Plain:
    """The models, and what one task gives; faces are searched once a request."""

    def __init__(self, folder: Path) -> None:
        import torch
        from facenet_pytorch import MTCNN

        # The detector, too, runs where everything else does.
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clip = Pipeline(folder)
        self.clip.network.to(self.device)
        self.faces: Any = MTCNN(keep_all=True, device=self.device)

    def face(self, picture: Image.Image) -> list[int] | None:
        boxes, _ = self.faces.detect(picture)
        return None if boxes is None else [int(side) for side in boxes[0]]

    def embed(self, picture: Image.Image) -> list[float]:
        pixels = self.clip.transform(picture).to(self.device)
        return self.clip.forward([pixels])[0]

    def results(self, content: bytes, tasks: list[dict[str, Any]]) -> dict[str, Any]:
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        is_face = [task["params"].get("target") == "prominent_face" for task in tasks]
        box = self.face(picture) if any(is_face) else None
        found: dict[str, Any] = {}
        for task, of_face in zip(tasks, is_face, strict=True):
            if task["type"] == "detect_bounding_box":
                found[task["operation_id"]] = _told(box)
            elif of_face and box is not None:
                part = picture.crop((box[0], box[1], box[2], box[3]))
                encoded = io.BytesIO()
                part.save(encoded, "PNG")
                png = base64.b64encode(encoded.getvalue()).decode()
                found[task["operation_id"]] = _told(self.embed(part), box, png)
            else:
                found[task["operation_id"]] = _told(self.embed(picture))
        return found


def _told(data: Any, box: list[int] | None = None, png: str | None = None) -> dict[str, Any]:
    return {
        "status": "success",
        "data": data,
        "cropped_image_bbox": box,
        "cropped_image_base64": png,
        "error_message": None,
    }


def main() -> None:
    plain = Plain(Path(sys.argv[1]))
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/analyze_image_upload/")
    async def analyze(image_file: UploadFile, tasks_json: str = Form()) -> dict[str, Any]:
        content = await image_file.read()
        results = plain.results(content, json.loads(tasks_json))
        return {"image_url": f"uploaded:{image_file.filename}", "results": results}

    uvicorn.run(app, port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
