"""A captioner from a model folder: its network, strictly fitted, and how it is asked."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, BlipForConditionalGeneration, GenerationConfig
from transformers.generation.configuration_utils import GenerationMode
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from opsin import LoadContext, LocatedModel
from opsin.core.neural import UnusableWeights, fit_pretrained, input_dtype, place, read_weights
from opsin.plugins.caption.plugin import ROLE
from opsin.plugins.caption.runner.asking import Asking, asking_of

_GENERATION = "generation_config.json"


@dataclass(frozen=True, slots=True)
class Captioner:
    """A network on its device, and how it is asked for a caption."""

    network: Any
    asking: Asking
    device: str
    dtype: torch.dtype
    num_beams: int
    """As the model is configured; 1 is greedy."""
    ends: frozenset[int]
    """The tokens with which the model ends a caption."""
    positions: int
    """The most tokens its decoder can tell apart; one more would read beyond its table."""


def load_captioner(context: LoadContext) -> Captioner:
    """The configured model; raises UnusableWeights when it is none that writes captions."""
    model = context.models[ROLE]
    name = model.requirement.name
    with _data_of(model) as folder:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            family = config.model_type
            raise UnusableWeights(f"{name!r} is of the family {family!r}, which writes no captions")
        generation = _generation_config(folder, name)
        asking = asking_of(config, folder)
    kind: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    weights = read_weights(*model.weights)
    network: Any = fit_pretrained(kind, config, weights, name)
    network.generation_config = generation
    text_config = config.get_text_config(decoder=True)
    own = _writer(network).generation_config
    ends = text_config.sep_token_id if config.model_type == "blip" else own.eos_token_id
    return Captioner(
        network=place(network, context),
        asking=asking,
        device=context.device,
        dtype=input_dtype(context),
        num_beams=own.num_beams or 1,
        ends=frozenset([ends] if isinstance(ends, int) else ends or ()),
        positions=getattr(text_config, "max_position_embeddings", None) or sys.maxsize,
    )


def _writer(network: Any) -> Any:
    """The part of the network whose `generate` does the work, by its own configuration."""
    if isinstance(network, BlipForConditionalGeneration):
        return network.text_decoder
    return network


@contextmanager
def _data_of(model: LocatedModel) -> Iterator[Path]:
    """A folder with the model's data and nothing else, for as long as it is being read.

    transformers reads whatever it finds beside a `config.json`, also what is not in `files` and
    so not in the fingerprint.
    """
    if model.folder is None:
        raise UnusableWeights(f"{model.requirement.name!r} must be a repository or a folder")
    with TemporaryDirectory(prefix="opsin-captioner-") as made:
        for path in model.paths:
            if path not in model.weights:
                copy = Path(made, path.relative_to(model.folder))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        yield Path(made)


def _generation_config(folder: Path, name: str) -> GenerationConfig:
    """What the model says of how it wants to write, without chance."""
    if Path(folder, _GENERATION).exists():
        config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    else:  # older models have it in their configuration
        config = GenerationConfig.from_pretrained(
            folder, config_file_name="config.json", _from_model_config=True, local_files_only=True
        )
    config.do_sample = False
    config.num_return_sequences = 1
    config.return_dict_in_generate = False
    config.max_length = config.max_new_tokens = None  # the caller's choice
    mode = config.get_generation_mode()
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.BEAM_SEARCH):
        wanted = mode.value.replace("_", " ")
        raise UnusableWeights(f"{name!r} asks for {wanted}; here there are greedy and beam search")
    return config
