"""The devices runners are placed on; the engine's one file that may import torch, and only late."""

import re
import sys
from contextlib import suppress
from importlib.util import find_spec

from opsin.core.errors import ConfigurationError

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device_name(name: str) -> str:
    """`name`, when `resolve_device` knows it, or ConfigurationError; imports nothing."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"OPSIN_DEVICE is {name[:40]!r}; it must be 'auto', 'cpu', 'cuda' or 'cuda:<number>'"
        )
    return name


def resolve_device(name: str) -> str:
    """The device that a setting means here: `cpu` or `cuda:<number>`.

    Imports torch, which takes seconds: ask on the thread that loads a runner that needs torch.
    Raises ConfigurationError when the named device is not on this machine.
    """
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
    import torch  # late: a server that has not been asked for a model has not imported it

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
