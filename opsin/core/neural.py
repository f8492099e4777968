"""For runners that use torch: weights read as data and fitted strictly, models made ready to run.

The one file of the core, beside the engine's device file, that imports torch; only runners, which
are imported when they are loaded, may import it.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from opsin.core.contract import LoadContext, Precision

Network = TypeVar("Network", bound=torch.nn.Module)
Weights = Mapping[str, torch.Tensor]

_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}
_MOST_NAMES = 3


class UnusableWeights(ValueError):
    """A file that holds no weights, or those of another network."""


def read_weights(*paths: Path) -> dict[str, torch.Tensor]:
    """The tensors of all files by name, on the CPU: safetensors, or a state_dict read as data.

    Nothing in a file is ever executed.  Raises UnusableWeights for a broken or hostile file.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in paths:
        weights |= _read(path)
    return weights


def fit_weights(network: Network, weights: Weights, name: str) -> Network:
    """The network with these weights, all of them and no others; `name` is for messages.

    Raises UnusableWeights when one is missing, unexpected or misshapen.
    """
    try:
        found = network.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:  # PyTorch lists each misshapen weight
        kind = type(network).__name__
        raise UnusableWeights(f"the weights of {name!r} do not fit {kind}") from error
    wrong = [
        *(f"{key} is missing" for key in found.missing_keys),
        *(f"{key} is unexpected" for key in found.unexpected_keys),
    ]
    if wrong:
        more = f" and {len(wrong) - _MOST_NAMES} more" if len(wrong) > _MOST_NAMES else ""
        listed = ", ".join(wrong[:_MOST_NAMES]) + more
        kind = type(network).__name__
        raise UnusableWeights(f"the weights of {name!r} do not fit {kind}: {listed}")
    return network


def place(network: Network, context: LoadContext) -> Network:
    """The network on the context's device, ready for inference, accelerated as it asks.

    Feed it tensors of `input_dtype(context)`; what it gives is to be turned to float32.
    """
    acceleration = context.acceleration
    network = network.requires_grad_(False).eval().to(context.device, input_dtype(context))
    if acceleration.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if acceleration.compile:
        network.compile()
    return network


def input_dtype(context: LoadContext) -> torch.dtype:
    """The dtype in which a placed network computes."""
    return _DTYPES[context.acceleration.precision]


def memory_of(*networks: torch.nn.Module) -> int:
    """Bytes that the networks' parameters and buffers take."""
    return sum(
        tensor.nbytes
        for network in networks
        for tensor in (*network.parameters(), *network.buffers())
    )


def vectors_of(output: torch.Tensor, normalize: Sequence[bool]) -> list[list[float]]:
    """Rows of a batch x dimensions output as float32 values; those asked for scaled to length 1."""
    rows = output.to(torch.float32)
    if any(normalize):
        unit = torch.nn.functional.normalize(rows, dim=1)
        chosen = torch.tensor(normalize, device=rows.device)[:, None]
        rows = torch.where(chosen, unit, rows)
    return [[float(value) for value in row] for row in rows.cpu().tolist()]


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        # Published files are often in PyTorch's older format, which cannot be mapped into memory.
        mapped = zipfile.is_zipfile(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except SafetensorError as error:
        raise UnusableWeights(f"{path.name} cannot be read as safetensors") from error
    except Exception as error:  # PyTorch raises whatever a broken or hostile file leads it to
        raise UnusableWeights(f"{path.name} cannot be read as weights") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise UnusableWeights(f"{path.name} holds no state_dict")
    return dict(state)
