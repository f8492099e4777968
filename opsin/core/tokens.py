"""The texts that callers show to be let in: random, told once, stored hashed; and their names."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from opsin.core.errors import InvalidInput
from opsin.core.storable import is_storable_text

MARK = "opsin"
"""What every key begins with, so that one that has got out can be recognised."""

_REFRESH_MARK = "opsin-refresh"
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that nobody has yet: its text, and the two columns it is found and checked by."""

    text: str
    prefix: str
    secret_sha256: str

    @classmethod
    def make(cls) -> "NewToken":
        prefix = secrets.token_hex(_PREFIX_BYTES)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        return cls(f"{MARK}_{prefix}_{secret}", prefix, digest_of(secret))


class TokenParts(NamedTuple):
    """A text that somebody shows, taken apart; not checked in any way."""

    mark: str
    prefix: str
    secret: str

    @classmethod
    def of(cls, text: str) -> "TokenParts":
        mark, _, rest = text.partition("_")
        prefix, _, secret = rest.partition("_")
        return cls(mark, prefix[: 2 * _PREFIX_BYTES + 1], secret)

    def fits(self, secret_sha256: str | None) -> bool:
        """Whether it is the token of this row; as long for none, so that the time tells nothing."""
        matches = hmac.compare_digest(secret_sha256 or "0" * 64, digest_of(self.secret))
        return matches and self.mark == MARK and secret_sha256 is not None


def new_refresh_token() -> str:
    """What a session is renewed with."""
    return f"{_REFRESH_MARK}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def require_token_name(name: str, what: str) -> str:
    """The name without blanks around it; InvalidInput when it is none."""
    if not 1 <= len(name.strip()) <= 255 or not is_storable_text(name):
        raise InvalidInput(f"{what} has 1 to 255 characters")
    return name.strip()


def digest_of(secret: str) -> str:
    # A secret has 256 random bits: a fast hash is enough, nothing can be guessed.
    return hashlib.sha256(secret.encode()).hexdigest()
