"""Checkpoints in the files and formats of published ones, with weights drawn from a seed."""

import json
import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from string import ascii_lowercase
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
)

from opsin.core.contract import Acceleration, Loadable, LoadContext
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.store import ModelStore

# Tests run side by side: with a thread for every core in each, they would wait for one another.
torch.set_num_threads(2)

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
CLIP_PREPROCESSOR = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
"""As beside OpenAI's weights."""
MARKS = ("<|startoftext|>", "<|endoftext|>")
TOKENS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
"""What OpenAI's `config.json` says; it is wrong, and the end is found as the highest token."""
SENTENCES = "a photo of a cat, two dogs and 3 whales in the sea; Hopper's portrait! (naïve) é ü"
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
DINO_V2_PREPROCESSOR = {
    **IMAGENET,
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "BitImageProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}
DINO_V3_PREPROCESSOR = {
    **IMAGENET,
    "crop_size": None,
    "do_center_crop": None,
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}


def clip_config(text: Mapping[str, Any] = MappingProxyType({}), **vision: Any) -> CLIPConfig:
    """A small CLIP, for pictures of 224 pixels and texts of at most 24 tokens."""
    sizes = {**TOWER, "vocab_size": 120, "max_position_embeddings": 32}
    return CLIPConfig(
        text_config={**sizes, **TOKENS, **text},
        vision_config={**TOWER, "patch_size": 32, **vision},
        projection_dim=16,
    )


def dino_v2_config(**more: Any) -> Dinov2Config:
    """A small DINOv2 for pictures of 56 pixels."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Dinov2Config(**{**sizes, "image_size": 56, "patch_size": 14, **more})


def dino_v3_config(**more: Any) -> DINOv3ViTConfig:
    """A small DINOv3 for pictures of 224 pixels, with 4 register tokens."""
    return DINOv3ViTConfig(**{**TOWER, "num_register_tokens": 4, **more})


def clip_folder(
    folder: Path, config: CLIPConfig | None = None, seed: int = 0, **preprocessor: Any
) -> Path:
    """A CLIP checkpoint with a real, if small, byte pair encoding."""
    save(CLIPModel, config or clip_config(), folder, seed)
    tokenizer().save_pretrained(folder)
    return prepared_by(folder, {**CLIP_PREPROCESSOR, **preprocessor})


def dino_v2_folder(folder: Path, config: Any = None, seed: int = 0, **preprocessor: Any) -> Path:
    config = config or dino_v2_config()
    registers = isinstance(config, Dinov2WithRegistersConfig)
    save(Dinov2WithRegistersModel if registers else Dinov2Model, config, folder, seed)
    return prepared_by(folder, {**DINO_V2_PREPROCESSOR, **preprocessor})


def dino_v3_folder(
    folder: Path, config: DINOv3ViTConfig | None = None, seed: int = 0, **preprocessor: Any
) -> Path:
    save(DINOv3ViTModel, config or dino_v3_config(), folder, seed)
    return prepared_by(folder, {**DINO_V3_PREPROCESSOR, **preprocessor})


def save(kind: type[PreTrainedModel], config: Any, folder: Path, seed: int) -> None:
    """`config.json` and `model.safetensors`, with no weight as plain as an initial one."""
    with torch.device("meta"):  # without the time for initial weights
        network = kind(config)
    network.to_empty(device="cpu")
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.numel() == 0:  # no register tokens
                continue
            if weight.dim() == 0:
                weight.fill_(math.log(100))  # the scale of CLIP's logits, when trained
            elif weight.dim() == 1 and not name.endswith("bias"):
                weight.normal_(1, 0.1)
            else:
                weight.normal_(0, weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.1)
    network.save_pretrained(folder)


def prepared_by(folder: Path, preprocessor: Mapping[str, Any]) -> Path:
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def opened(kind: Any, folder: Path) -> Any:
    """The checkpoint as transformers itself opens it: the reference."""
    return kind.from_pretrained(folder, local_files_only=True).eval()


def change(folder: Path, **told: Any) -> Path:
    """The folder, with other values in its `config.json`."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **told}))
    return folder


def change_weights(folder: Path, **weights: torch.Tensor | None) -> Path:
    """The folder, with other weights in its file; those that are None are left out."""
    file = folder / "model.safetensors"
    kept = {**load_file(file), **weights}
    save_file({key: tensor for key, tensor in kept.items() if tensor is not None}, file)
    return folder


def tokenizer() -> CLIPTokenizer:
    """CLIP's own way to read text, with few merges; its two marks come last, as in the real one.

    The merges are made here: a trainer of `tokenizers` breaks ties otherwise in every process.
    """
    reading: Any = CLIPTokenizer().backend_tokenizer
    text = reading.normalizer.normalize_str(SENTENCES)
    words = [
        [*word[:-1], f"{word[-1]}</w>"] for word, _ in reading.pre_tokenizer.pre_tokenize_str(text)
    ]
    merges = [
        ("".join(word[:end]), word[end])
        for word in words
        if len(word) > 3
        for end in range(1, len(word))
    ]
    symbols = sorted(
        {*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase), *chain(*words)}
    )
    tokens = [*symbols, *dict.fromkeys("".join(merge) for merge in merges), *MARKS]
    distinct: Any = list(dict.fromkeys(merges))  # typed as texts, but pairs are taken too
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=distinct
    )


def store_of(directory: Path, folders: Mapping[str, Path]) -> ModelStore:
    """A store in which these folders are the models in the role `encoder` of these operations."""
    file = directory / "models.toml"
    file.write_text(
        "".join(f"[{name}.encoder]\nfolder = '{folder}'\n" for name, folder in folders.items())
    )
    return ModelStore(
        directory / "models", offline=True, configuration=ModelConfiguration.read(file)
    )


def context_of(
    loadable: Loadable, folder: Path, directory: Path, device: str = "cpu", **acceleration: Any
) -> LoadContext:
    """What the operation is loaded with when its model is in that folder."""
    found = store_of(directory, {loadable.name: folder}).context(loadable, device)
    return LoadContext(device, found.models, Acceleration(**acceleration))


def loaded(loadable: Loadable, folder: Path, directory: Path, **context: Any) -> Any:
    """The runner of the operation whose model is in that folder."""
    return loadable.load(context_of(loadable, folder, directory, **context))
