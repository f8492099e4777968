"""Passwords: hashed by Argon2id, compared in equal time, a few at once."""

import asyncio
import os
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from opsin.core.errors import InvalidInput, Overloaded

SHORTEST, LONGEST = 8, 1024
"""Characters of a password."""

_AT_ONCE = 2
"""Each takes 64 MiB for a moment, and up to four cores."""
_MOST_WAITING = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether it was the password, and its new hash where the stored one is out of date."""

    fits: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and checks passwords on threads of its own, with the library's parameters.

    Both raise Overloaded while too many wait for it.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._decoy = _decoy(self._hasher)
        # Its threads begin with the first password.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="opsin-password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What is stored of a password; InvalidInput for one that is too short or too long."""
        secret = _secret(password)
        if secret is None or len(password) < SHORTEST:
            raise InvalidInput(f"A password has {SHORTEST} to {LONGEST} characters")
        return await self._on_thread(lambda: self._hasher.hash(secret))

    async def check(self, stored: str | None, password: str) -> Checked:
        """Whether the hash is that of the password.

        It takes as long where there is no hash, or one that cannot be read, or no password.
        """
        return await self._on_thread(lambda: self._check(stored, password))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, stored: str | None, password: str) -> Checked:
        secret = _secret(password)
        if stored is None or secret is None:
            self._matches(self._decoy, secret or b"")
            return Checked(False)
        try:
            if not self._matches(stored, secret):
                return Checked(False)
        except InvalidHashError:
            self._matches(self._decoy, secret)
            return Checked(False)
        outdated = self._hasher.check_needs_rehash(stored)
        return Checked(True, self._hasher.hash(secret) if outdated else None)

    def _matches(self, stored: str, secret: bytes) -> bool:
        try:
            return self._hasher.verify(stored, secret)
        except VerificationError:
            return False

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("Too many are signing in; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _secret(password: str) -> bytes | None:
    """The bytes that are hashed, the same however its letters were composed; None for no password.

    NFKC, as NIST SP 800-63B (3.1.1.2) advises.
    """
    if len(password) > LONGEST:
        return None
    try:
        return unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:  # half a character
        return None


def _decoy(hasher: PasswordHasher) -> str:
    """A hash that no password has, and that takes as long to compare with as any."""
    salt, digest = (
        b64encode(os.urandom(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
