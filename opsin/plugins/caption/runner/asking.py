"""How the families of models are asked for a caption: from a picture and a prompt to tensors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

from opsin import OperationFailed, Picture

INSTRUCTION = "Describe what this image shows in one short sentence."
"""For models that take instructions, when the caller gives none."""
_TASKS: Mapping[str, str] = MappingProxyType({"florence2": "<CAPTION>", "paligemma": "caption en"})
"""What families that want a task by name are told by default."""

Question = Mapping[str, torch.Tensor]
"""What `generate` is called with for one picture: tensors whose first dimension is the batch."""


class Asking(ABC):
    """One family's way; used by several threads."""

    continues: bool
    """Whether a prompt is the caption's beginning, and `max_length` counts it too."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @abstractmethod
    def question(self, picture: Picture, prompt: str | None) -> Question:
        """The tensors for one picture, on the CPU; questions of equal shapes can be joined."""

    @abstractmethod
    def start(self, question: Question) -> int:
        """How many tokens stand in front of the first that the model writes."""

    def text(self, tokens: Sequence[int]) -> str:
        """The words of some tokens, with single spaces between them."""
        return " ".join(self._tokenizer.decode(tokens, skip_special_tokens=True).split())


class Continuing(Asking):
    """Captioners that need no word to begin: BLIP, GIT, and a vision encoder with a decoder."""

    continues = True

    def __init__(self, family: str, folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        super().__init__(tokenizer)
        self._family = family
        images: Any = AutoImageProcessor  # it tells no types, and neither does the next
        self._images = images.from_pretrained(folder, local_files_only=True)
        tokenizer("one")  # settles padding and truncation, which threads could not do at a time

    def question(self, picture: Picture, prompt: str | None) -> Question:
        # A copy: PyTorch wants writable memory.
        seen = self._images(picture.copy(), input_data_format="channels_last", return_tensors="pt")
        question = {"pixel_values": seen["pixel_values"]}
        if prompt is None:
            return question
        if self._family == "vision-encoder-decoder":
            raise OperationFailed("the configured model takes no prompt")
        tokens = self._tokenizer(prompt, return_tensors="pt")
        names = ("input_ids", "attention_mask")
        if self._family == "git":  # [CLS] and the words; the [SEP] behind them would end it
            return question | {name: tokens[name][:, :-1] for name in names}
        return question | {name: tokens[name] for name in names}

    def start(self, question: Question) -> int:
        if "input_ids" not in question:
            return 1
        length = question["input_ids"].shape[1]
        return length - 1 if self._family == "blip" else length  # BLIP takes the [SEP] off itself


class Answering(Asking):
    """Models that are told what to do; the answer is what comes behind the question."""

    continues = False

    def __init__(self, config: Any, folder: Path) -> None:
        processor: Any = AutoProcessor
        self._processor = processor.from_pretrained(folder, local_files_only=True)
        super().__init__(self._processor.tokenizer)
        self._task = _TASKS.get(config.model_type)
        self._encodes = config.is_encoder_decoder
        self._chats = bool(getattr(self._processor, "chat_template", None))
        self.question(np.zeros((64, 64, 3), np.uint8), "one")  # as above; and that it can be asked

    def question(self, picture: Picture, prompt: str | None) -> Question:
        image = Image.fromarray(picture)
        if self._chats:
            content = [
                {"type": "image", "image": image},
                {"type": "text", "text": prompt or INSTRUCTION},
            ]
            asked = self._processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        else:
            told = prompt or self._task
            if told is None:
                raise OperationFailed("the configured model needs a prompt")
            asked = self._processor(images=image, text=told, return_tensors="pt")
        return {name: tensor for name, tensor in asked.items() if isinstance(tensor, torch.Tensor)}

    def start(self, question: Question) -> int:
        return 1 if self._encodes else question["input_ids"].shape[1]


def asking_of(config: Any, folder: Path) -> Asking:
    """How models of this configuration are asked; the folder holds what they need for it."""
    if config.model_type in ("blip", "git", "vision-encoder-decoder"):
        return Continuing(config.model_type, folder)
    return Answering(config, folder)
