"""UUIDv7: ids that sort by the time they were made, and within one process never go back."""

import os
import threading
import time
import uuid
from datetime import datetime

_RANDOM_BITS = 74
_LAST_GROUP = (1 << 48) - 1  # the twelve digits behind the last hyphen
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """One new id as canonical text (RFC 9562, version 7)."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """`count` new ids in ascending order.

    The 74 bits after the millisecond start at random and count up, so that ids of one process are
    strictly increasing even inside one millisecond and when the clock steps back.
    """
    global _last
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | (
            int.from_bytes(os.urandom(9), "big") & ((1 << 72) - 1)
        )
        first = fresh if fresh > _last else _last + 1
        _last = first + count - 1
    low = first & _LAST_GROUP
    if low + count > _LAST_GROUP:
        return [_format(value) for value in range(first, first + count)]
    # All but the last group of digits is the same for all of them.
    head = _format(first)[:-12]
    return [f"{head}{value:012x}" for value in range(low, low + count)]


def least_id(moment: datetime) -> str:
    """No id that is made at this moment, or later, is less."""
    return _format(max(0, int(moment.timestamp() * 1000)) << _RANDOM_BITS)


def canonical_id(value: object) -> str | None:
    """The id as it is stored, or None for anything that cannot be one."""
    try:
        return str(uuid.UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _format(value: int) -> str:
    milliseconds = value >> _RANDOM_BITS
    random_a = (value >> 62) & 0xFFF
    random_b = value & ((1 << 62) - 1)
    whole = milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    text = f"{whole:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
