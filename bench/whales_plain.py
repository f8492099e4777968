"""The plain way to answer an archive: one picture at a time, on the event loop.

`python -m bench.whales_plain PORT FOLDER`; the folder is that of `bench/whales_models.py`.
"""

import io
import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any

import timm
import torch
import uvicorn
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms
from transformers import CLIPModel

from bench.whales_models import ACTIVE, DIMENSIONS

CLIP_MEAN, CLIP_STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pipeline:
    """Gate, backbone and head in float32, as their libraries have them."""

    def __init__(self, folder: Path) -> None:
        weights = load_file(folder / "embedder.safetensors")
        self.backbone = timm.create_model("tf_efficientnet_b4", num_classes=0)
        self.backbone.load_state_dict(_below("model.", weights))
        self.neck = torch.nn.Linear(self.backbone.num_features, DIMENSIONS)
        self.neck.load_state_dict(_below("embedding.", weights))
        self.rows = load_file(folder / "prototypes.safetensors")["arc.weight"][:ACTIVE]
        self.gate: Any = CLIPModel.from_pretrained(folder / "gate")
        self.prompts = torch.nn.functional.normalize(
            torch.randn(24, self.gate.config.projection_dim), dim=1
        )
        for network in (self.backbone, self.neck, self.gate):
            network.eval()
        self.for_gate = transforms.Compose(
            [
                transforms.Resize(224, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(CLIP_MEAN, CLIP_STD),
            ]
        )
        self.for_backbone = transforms.Compose(
            [
                transforms.Resize((512, 512)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    @torch.no_grad()
    def __call__(self, content: bytes, name: str) -> dict[str, Any]:
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        seen = self.gate.get_image_features(self.for_gate(picture)[None])
        seen = getattr(seen, "pooler_output", seen)
        cosines = torch.nn.functional.normalize(seen, dim=1) @ self.prompts.T
        score = float((100 * cosines).softmax(1)[0, :10].sum())
        vector = self.neck(self.backbone(self.for_backbone(picture)[None]))
        unit = torch.nn.functional.normalize
        shares = (30 * unit(vector, dim=1) @ unit(self.rows, dim=1).T).softmax(1)[0]
        best = shares.topk(5)
        return {
            "image_ind": name,
            "cetacean_score": score,
            "probability": float(best.values[0]),
            "candidates": best.indices.tolist(),
        }


def plain_app(pipeline: Pipeline) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/predict-batch")
    async def predict(archive: Annotated[UploadFile, File()]) -> list[dict[str, Any]]:
        with zipfile.ZipFile(io.BytesIO(await archive.read())) as packed:
            return [pipeline(packed.read(name), name) for name in packed.namelist()]

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _below(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): one for key, one in weights.items() if key.startswith(prefix)}


if __name__ == "__main__":
    uvicorn.run(plain_app(Pipeline(Path(sys.argv[2]))), port=int(sys.argv[1]), log_level="error")
