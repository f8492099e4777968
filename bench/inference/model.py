"""The work that all contestants do: a JPEG to CLIP's vector, with one checkpoint on disk."""

import io
import json
from pathlib import Path
from typing import Any

THREADS = 2
BATCH = 32


def write_checkpoint(folder: Path) -> None:
    """CLIP ViT-B/32 at full size with seeded random weights, in the layout of the hub."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(2026)
    folder.mkdir(parents=True)
    config = CLIPConfig()
    network = CLIPModel(config)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config.save_pretrained(folder)
    processor = {"do_resize": True, "size": {"shortest_edge": 224}, "crop_size": 224}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|endoftext|>"))
    tokenizer.save(str(folder / "tokenizer.json"))


class Pipeline:
    """Decode, preprocess and forward, as a plain program does them."""

    def __init__(self, folder: Path) -> None:
        import torch
        from torchvision import transforms
        from transformers import CLIPVisionModelWithProjection

        torch.set_num_threads(THREADS)
        self.network: Any = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
        self.transform = transforms.Compose(
            [
                transforms.Resize(224, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize(
                    (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
                ),
            ]
        )

    def decode(self, content: bytes) -> Any:
        from PIL import Image

        return self.transform(Image.open(io.BytesIO(content)).convert("RGB"))

    def forward(self, batch: list[Any]) -> list[list[float]]:
        import torch

        with torch.inference_mode():
            vectors: list[list[float]] = self.network(
                pixel_values=torch.stack(batch)
            ).image_embeds.tolist()
        return vectors
