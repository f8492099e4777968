"""How much of a device's memory its models may take: the operator's setting, and the default."""

import re
from dataclasses import dataclass
from typing import Self

from opsin.core.engine.device import total_memory
from opsin.core.errors import ConfigurationError

_TEXT = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>%|[kMGT]i?B|B)?")
_UNITS: dict[str | None, int] = {
    None: 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("kMGT", 1)},
}
_CUDA_SHARE, _CPU_SHARE = 0.8, 0.5
"""The rest of a CUDA device is for what batches need, that of the machine for all else on it."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """Bytes, or a share of each device's memory; neither is the default."""

    bytes: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """From `12GB`, `8GiB`, `8000000000` or `80%`; else ConfigurationError."""
        if text is None:
            return cls()
        found = _TEXT.fullmatch(text.strip())
        if found is not None and (number := float(found["number"])) > 0:
            if found["unit"] == "%" and number <= 100:
                return cls(share=number / 100)
            size = number * _UNITS.get(found["unit"], 0)
            if size >= 1:
                return cls(bytes=int(size))
        raise ConfigurationError(
            f"OPSIN_DEVICE_MEMORY is {text[:40]!r}; it must be bytes such as '12GB' or '8GiB', "
            "or a share of the device such as '80%'"
        )

    def of(self, device: str) -> int:
        """Bytes of that device; for a CUDA device this asks torch."""
        if self.bytes is not None:
            return self.bytes
        default = _CPU_SHARE if device == "cpu" else _CUDA_SHARE
        return int(total_memory(device) * (self.share or default))


def readable(size: int) -> str:
    """Bytes for people: `1.5 GB`."""
    for unit in ("TB", "GB", "MB", "kB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f} {unit}"
    return f"{size} B"
