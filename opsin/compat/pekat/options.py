"""What the operator may choose of the PEKAT VISION API."""

from collections.abc import Callable
from dataclasses import dataclass, field

SHARED_MEMORY_VERSION = "3.18.0"
"""The first version whose clients send arrays of the same machine through shared memory."""


@dataclass(frozen=True, slots=True)
class PekatOptions:
    """Values of the settings, by the meaning they have here."""

    flow: str | None = None
    """A flow as JSON, or the path of a file with it; None for the default one."""
    max_operations: int = 64
    """In one flow."""
    api_key: str | None = field(default=None, repr=False)
    is_open: bool = True
    """Whoever sends no key is let in, unless `api_key` is set."""
    is_processing: bool = True
    shares_memory: bool = False
    """Clients of the same machine may leave a picture in shared memory."""
    stop_key: str | None = field(default=None, repr=False)
    stop: Callable[[], None] | None = None
    """Ends the server; called once the answer is sent."""
