"""Room in a cluster whose machines are full: processes that have nothing to do end sooner."""

import logging
from typing import Any

logger = logging.getLogger("opsin.engine")

_IDLE = 2.0  # seconds without work after which one may be ended
_PATIENCE = 2.0  # seconds for their answers


def make_room(ray: Any, names: set[str], prefix: str) -> bool:
    """Have the process that was idle for longest end, unless its name begins with `prefix`."""
    asked = {}
    for name in names:
        if name.startswith(prefix):
            continue
        try:
            handle = ray.get_actor(name)
            asked[handle.idle.remote()] = name, handle
        except Exception:  # it has ended by itself
            continue
    if not asked:
        return False
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_PATIENCE)
    idle = []
    for reference in ready:
        try:
            seconds = ray.get(reference)
        except Exception:
            continue
        if seconds is not None and seconds >= _IDLE:
            idle.append((seconds, asked[reference]))
    if not idle:
        return False
    _, (name, handle) = max(idle, key=lambda one: one[0])
    logger.info("%s ends: another operation needs the room", name)
    handle.leave.remote(_IDLE)
    return True
