"""What transformers itself makes of a CLIP checkpoint, of each picture and text alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from opsin import Picture
from tests.plugins.published import opened
from tests.plugins.running import Matrix


@torch.inference_mode()
def clip_pictures(folder: Path, pictures: Sequence[Picture]) -> Matrix:
    """Pictures x dimensions; for sizes of which torchvision crops the same middle."""
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    network = opened(CLIPModel, folder)
    inputs = [processor(Image.fromarray(picture), return_tensors="pt") for picture in pictures]
    vectors = [network.get_image_features(**one).pooler_output[0].numpy() for one in inputs]
    return np.array(vectors, np.float64)


@torch.inference_mode()
def clip_texts(folder: Path, texts: Sequence[str]) -> Matrix:
    """Texts x dimensions."""
    network = opened(CLIPModel, folder)
    read = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    longest = network.config.text_config.max_position_embeddings
    inputs = [read(t, truncation=True, max_length=longest, return_tensors="pt") for t in texts]
    vectors = [network.get_text_features(**one).pooler_output[0].numpy() for one in inputs]
    return np.array(vectors, np.float64)
