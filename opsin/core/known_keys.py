"""API keys that were found valid a moment ago, so that not every request reads the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from opsin.core.bounded_cache import BoundedCache

KNOWN_SECONDS = 1.0
"""For so long a key is taken without asking, also one that another process has revoked since."""

_MOST_KEYS = 10_000

Caller = TypeVar("Caller")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known(Generic[Caller]):
    caller: Caller
    key_id: str
    account_id: str | None
    checked_at: float
    until: float


class KnownKeys(Generic[Caller]):
    """The callers behind keys by the digest of the whole key, which itself is not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.changes = 0
        """How often something was said to have changed."""
        self._clock = clock
        self._known: BoundedCache[bytes, _Known[Caller]] = BoundedCache(_MOST_KEYS)
        self._revoked: BoundedCache[str, bool] = BoundedCache(_MOST_KEYS)
        self._changed: BoundedCache[str, float] = BoundedCache(_MOST_KEYS)

    def get(self, digest: bytes) -> Caller | None:
        """Who is behind the key, if it was checked a moment ago and has not expired since."""
        known = self._known.get(digest)
        if known is None or self._clock() >= known.until or self.is_revoked(known.key_id):
            return None
        for identity in (known.account_id, known.key_id):
            changed = self._changed.get(identity) if identity is not None else None
            if changed is not None and known.checked_at <= changed:
                return None
        return known.caller

    def put(
        self,
        digest: bytes,
        caller: Caller,
        key_id: str,
        checked_at: float,
        *,
        account_id: str | None = None,
        seconds: float = KNOWN_SECONDS,
    ) -> None:
        """A key that was valid in a reading begun at `checked_at`, and is for `seconds` more."""
        until = checked_at + min(seconds, KNOWN_SECONDS)
        self._known.put(digest, _Known(caller, key_id, account_id, checked_at, until), 1)

    def forget_account(self, account_id: str) -> None:
        """Something has changed about this account: its keys are read anew."""
        self.changes += 1
        self._changed.put(account_id, self._clock(), 1)

    def forget_key(self, key_id: str) -> None:
        """What this key may do has changed: it is read anew."""
        self.changes += 1
        self._changed.put(key_id, self._clock(), 1)

    def revoke(self, key_id: str) -> None:
        """This key has ended; also a reading that began before will not bring it back."""
        self._revoked.put(key_id, True, 1)

    def is_revoked(self, key_id: str) -> bool:
        """Whether the key was revoked here, of late."""
        return self._revoked.get(key_id) is not None

    def now(self) -> float:
        return self._clock()


class Together:
    """Callers who ask the same at the same time get one answer."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}  # one type for each question

    async def once(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, asked once for all who wait; one who leaves ends it for nobody."""
        task = self._asked.get(question)
        if task is None:
            task = self._asked[question] = asyncio.ensure_future(_call(ask))
            task.add_done_callback(lambda done: self._answered(question, done))
        answer: T = await asyncio.shield(task)
        return answer

    def _answered(self, question: Hashable, task: "asyncio.Task[Any]") -> None:
        del self._asked[question]
        if not task.cancelled():
            task.exception()  # seen, even where everybody has left


async def _call(ask: Callable[[], Awaitable[object]]) -> object:
    return await ask()
