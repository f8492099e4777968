"""The devices runners are placed on; the engine's one file that may import torch, and only late."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opsin.core.errors import ConfigurationError

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def check_device_name(name: str) -> str:
    """`name`, when `resolve_device` knows it, or ConfigurationError; imports nothing."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"OPSIN_DEVICE is {name[:40]!r}; it must be 'auto', 'cpu', 'cuda' or 'cuda:<number>'"
        )
    return name


_resolved: dict[str, str] = {}
"""What `resolve_device` has said, by name."""
_FIRST_GPU = Path("/dev/nvidia0")


def expected_device(name: str) -> str:
    """What `resolve_device` says, or will as far as can be told without torch; costs nothing."""
    if name in _resolved:
        return _resolved[name]
    if name == "auto":
        return "cuda:0" if _may_have_gpu() else "cpu"
    return "cuda:0" if name == "cuda" else name


@cache
def _may_have_gpu() -> bool:
    return find_spec("torch") is not None and _FIRST_GPU.exists()


def resolve_device(name: str) -> str:
    """The device that a setting means here: `cpu` or `cuda:<number>`.

    Imports torch, which takes seconds: ask on the thread that loads a runner that needs torch.
    Raises ConfigurationError when the named device is not on this machine.
    """
    found = _resolved[name] = _found_device(name)
    return found


def _found_device(name: str) -> str:
    check_device_name(name)
    if name == "cpu":
        return "cpu"
    count = _cuda_devices()
    if name == "auto":
        return "cuda:0" if count else "cpu"
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise ConfigurationError(
            f"OPSIN_DEVICE is {name!r}, but torch sees {count} CUDA devices here; "
            "'auto' takes the CPU when there is none"
        )
    return f"cuda:{index}"


def release_cached_memory() -> None:
    """Give the memory torch keeps for reuse back to the device, after a batch did not fit."""
    torch = sys.modules.get("torch")  # never imported for this: without it nothing is cached
    if torch is None or not torch.cuda.is_available():
        return
    with suppress(RuntimeError):  # a device in trouble; the next batch will tell
        torch.cuda.empty_cache()


def _cuda_devices() -> int:
    if find_spec("torch") is None:
        return 0
    torch = _import_torch()

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def total_memory(device: str) -> int:
    """Bytes of memory: of the CUDA device, or what this process may have of the machine's."""
    if device == "cpu":
        return _machine_memory()
    torch = _import_torch()

    return int(torch.cuda.get_device_properties(device).total_memory)


def allocated_memory(device: str) -> int:
    """Bytes that torch's tensors take on a CUDA device now; 0 for the CPU, which nobody counts."""
    torch = sys.modules.get("torch")
    if device == "cpu" or torch is None:
        return 0
    return int(torch.cuda.memory_allocated(device))


def bytes_of(model: object, depth: int = 3) -> int:
    """Bytes of the tensors in a model: a module, or an object or container with some in it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    storages = {s.data_ptr(): s.nbytes() for s in _storages(torch, model, depth)}
    return sum(storages.values())


def _storages(torch: Any, model: object, depth: int) -> Iterator[Any]:
    inner: Iterable[object] = ()
    if isinstance(model, torch.Tensor):
        yield model.untyped_storage()
    elif isinstance(model, torch.nn.Module):
        inner = (*model.parameters(), *model.buffers())
    elif isinstance(model, Mapping):
        inner = model.values()
    elif isinstance(model, list | tuple):
        inner = model
    elif is_dataclass(model):
        inner = [getattr(model, field.name) for field in fields(model)]
    else:
        inner = getattr(model, "__dict__", {}).values()
    for part in inner if depth else ():
        yield from _storages(torch, part, depth - 1)


def _machine_memory() -> int:
    """Physical memory, or the smaller limit of the container that this runs in."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # another kind of system, or "max"
            limits.append(int(file.read_text()))
    return min(limits)


def set_up_torch(cores: int) -> None:
    """Before the first network of a process: float32 is float32, and so many threads compute."""
    torch = _import_torch()

    cudnn: Any = torch.backends.cudnn  # typed as a module that has less
    cudnn.conv.fp32_precision = "ieee"
    # All cores: `_import_torch` sees to it that waiting threads do not keep them from decoding.
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores)))


def _import_torch() -> Any:
    """torch, imported late: a server that has not been asked for a model has not imported it.

    Its threads wait for one another by spinning, unless told otherwise before they are there: one
    that has lost its core to the decoding of a picture then holds up all, who keep theirs busy.
    With 32 callers on 2 cores, CLIP ViT-B/32 did 10 pictures a second so, and 13 with threads that
    sleep; where other programs wanted the cores as well, 3 and 8.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    return torch
