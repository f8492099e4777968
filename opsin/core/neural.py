"""For runners that use torch: weights read as data and fitted strictly, models made ready to run.

The one file of the core, beside the engine's device file, that imports torch; only runners, which
are imported when they are loaded, may import it.
"""

import json
import threading
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from opsin.core.contract import Embedding, LoadContext, LocatedModel, Picture, Precision

Network = TypeVar("Network", bound=torch.nn.Module)
Weights = Mapping[str, torch.Tensor]
Example: TypeAlias = torch.Tensor | Mapping[str, torch.Tensor]
"""What a network is called with: one tensor, or tensors by the names of its parameters."""

_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}
_MOST_NAMES = 3
_COMPILED_SIZES = (2, 16, 1)
"""Two stand for all batches, but one is always compiled apart; PyTorch's own choice among its
convolutions may differ from 16 on."""
_PRETRAINED = threading.Lock()
INDEX_ENDING = ".safetensors.index.json"
"""How the file is called that says which of several safetensors files holds which tensor."""


class UnusableWeights(ValueError):
    """A file that holds no weights, or those of another network."""


def read_config(model: LocatedModel, families: Collection[str]) -> dict[str, Any]:
    """The model's `config.json`; UnusableWeights unless its `model_type` is among the families."""
    told: dict[str, Any] = json.loads(model.file("config.json").read_text("utf-8"))
    family = told.get("model_type")
    if family not in families:
        known = " or ".join(map(repr, families))
        raise UnusableWeights(
            f"{model.requirement.name!r} is a model of type {family!r}, not {known}"
        )
    return told


def read_weights(*paths: Path) -> dict[str, torch.Tensor]:
    """The tensors of all files by name, on the CPU: safetensors, or a state_dict read as data.

    With an index (`model.safetensors.index.json`) among them, the files hold what it says.
    Nothing in a file is ever executed.  Raises UnusableWeights for a broken or hostile file, and
    for two files that hold a tensor of one name.
    """
    indexes = [path for path in paths if path.name.endswith(INDEX_ENDING)]
    files = [path for path in paths if path not in indexes]
    weights: dict[str, torch.Tensor] = {}
    origin: dict[str, Path] = {}
    for path in files:
        for key, tensor in _read(path).items():
            if key in weights:
                raise UnusableWeights(f"{key} is in {origin[key].name} and in {path.name}")
            weights[key], origin[key] = tensor, path
    for index in indexes:
        _check_index(index, origin, files)
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
    _check_fit(type(network), name, found.missing_keys, found.unexpected_keys)
    return network


def fit_pretrained(kind: type[Network], config: Any, weights: Weights, name: str) -> Network:
    """A network of transformers with this configuration and these weights, float32, on the CPU.

    As strict as `fit_weights`; but transformers knows the names that weights have in published
    files, and passes over what once were buffers (`position_ids`, `inv_freq`).  Nothing is fetched.
    Raises UnusableWeights.
    """
    # Late: most that use this module need no transformers.
    from transformers.utils.logging import disable_progress_bar

    build: Any = kind
    with _PRETRAINED:  # while it builds, it changes torch and its own classes for all threads
        disable_progress_bar()  # type: ignore[no-untyped-call]  # it tells no types
        network, found = build.from_pretrained(
            None,
            config=config,
            state_dict=dict(weights),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            output_loading_info=True,
        )
    misshapen = [key for key, *_ in found["mismatched_keys"]]
    _check_fit(kind, name, found["missing_keys"], found["unexpected_keys"], misshapen)
    fitted: Network = network
    return fitted


def place(network: Network, context: LoadContext, example: Example | None = None) -> Network:
    """The network on the context's device, ready for inference, accelerated as it asks.

    Feed it tensors of `input_dtype(context)`; what it gives is to be turned to float32.
    `example`, a valid input of a batch of one, on any device and in any precision, lets it be
    compiled here for batches of every size; without, the first calls compile, while all wait.
    """
    acceleration = context.acceleration
    network = network.requires_grad_(False).eval().to(context.device, input_dtype(context))
    if acceleration.channels_last:
        network = network.to(memory_format=torch.channels_last)
    if acceleration.compile:
        network.compile()
        if example is not None:
            _compile_for(network, example, context)
    return network


def input_dtype(context: LoadContext) -> torch.dtype:
    """The dtype in which a placed network computes."""
    return _DTYPES[context.acceleration.precision]


def pixels_to_batch(
    arrays: Sequence[Picture],
    mean: Sequence[float],
    std: Sequence[float],
    context: LoadContext,
) -> torch.Tensor:
    """Pictures of one size as a batch x 3 x height x width tensor for a network placed by `place`.

    Bytes go to the device, where they become (pixel / 255 - mean) / std, in float32, and only then
    the network's own precision.
    """
    pixels = torch.from_numpy(np.stack(arrays))
    if torch.device(context.device).type == "cuda":
        # From pinned memory the copy runs beside the computation that came before it.
        pixels = pixels.pin_memory()
    pixels = pixels.to(context.device, non_blocking=True).permute(0, 3, 1, 2)
    if not context.acceleration.channels_last:  # which is how the bytes came
        pixels = pixels.contiguous()
    shift, scale = (_of_channels(tuple(values), context.device) for values in (mean, std))
    batch = pixels.to(torch.float32).div_(255).sub_(shift).div_(scale)
    return batch.to(input_dtype(context))


def memory_of(*networks: torch.nn.Module) -> int:
    """Bytes that the networks' parameters and buffers take; what they share counts once."""
    storages = {
        storage.data_ptr(): storage.nbytes()
        for network in networks
        for tensor in (*network.parameters(), *network.buffers())
        for storage in (tensor.untyped_storage(),)
    }
    return sum(storages.values())


def embedding_of(row: torch.Tensor, fingerprint: str, *, normalize: bool = False) -> Embedding:
    """A network's output for one item as a result: float32, of length 1 where that is wanted."""
    row = row.to("cpu", torch.float32)
    if normalize:
        row = torch.nn.functional.normalize(row, dim=0)
    return Embedding(
        dimensions=len(row),
        normalized=normalize,
        model_fingerprint=fingerprint,
        vector=tuple(row.tolist()),
    )


@lru_cache(maxsize=64)
def _of_channels(values: tuple[float, ...], device: str) -> torch.Tensor:
    # Kept, for a small copy to a CUDA device would wait for all that runs there.
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _check_fit(
    kind: type[torch.nn.Module],
    name: str,
    missing: Iterable[str],
    unexpected: Iterable[str],
    misshapen: Iterable[str] = (),
) -> None:
    wrong = [
        *(f"{key} is missing" for key in sorted(missing)),
        *(f"{key} is unexpected" for key in sorted(unexpected)),
        *(f"{key} has another shape" for key in sorted(misshapen)),
    ]
    if wrong:
        more = f" and {len(wrong) - _MOST_NAMES} more" if len(wrong) > _MOST_NAMES else ""
        listed = ", ".join(wrong[:_MOST_NAMES]) + more
        raise UnusableWeights(f"the weights of {name!r} do not fit {kind.__name__}: {listed}")


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


def _check_index(index: Path, origin: Mapping[str, Path], files: Collection[Path]) -> None:
    """Whether the tensors of the files beside the index are those that it names."""
    try:
        told = json.loads(index.read_bytes())["weight_map"]
        expected = {key: index.parent / file for key, file in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableWeights(f"{index.name} cannot be read as an index of weights") from error
    shards = set(expected.values())
    if absent := sorted(shards.difference(files)):
        raise UnusableWeights(f"{index.name} names {absent[0].name}, which is not among the files")
    here = {key: file for key, file in origin.items() if file in shards}
    if wrong := sorted(expected.items() ^ here.items()):
        raise UnusableWeights(f"{wrong[0][0]} is not where {index.name} says")


def _compile_for(network: torch.nn.Module, example: Example, context: LoadContext) -> None:
    """Call the network so that no later batch compiles anything."""
    for size in _COMPILED_SIZES:
        with torch.inference_mode():
            if isinstance(example, Mapping):
                network(**{name: _repeated(one, size, context) for name, one in example.items()})
            else:
                network(_repeated(example, size, context))


def _repeated(tensor: torch.Tensor, size: int, context: LoadContext) -> torch.Tensor:
    """The one item, `size` times, on the device, marked as one of many batch sizes."""
    dtype = input_dtype(context) if tensor.is_floating_point() else tensor.dtype
    batch = tensor.to(context.device, dtype).repeat(size, *[1] * (tensor.dim() - 1))
    if context.acceleration.channels_last and batch.dim() == 4:
        batch = batch.contiguous(memory_format=torch.channels_last)
    if size > 1:
        torch._dynamo.mark_dynamic(batch, 0)
    return batch
