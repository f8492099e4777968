"""Secrets of others, such as passwords that receivers ask for: kept unreadable without our key."""

import base64
import hmac
import os
from typing import Final

from opsin.core.errors import ConfigurationError

_CONTEXT = b"opsin seal 1"
_NONCE_BYTES = 12
_CHANGED: Final = (
    "a stored secret was sealed with another OPSIN_SECRET_KEY: give the server that key again, or "
    "store the secret anew"
)


class Seals:
    """AES-256-GCM with a key made of the server's secret; each text has a random nonce."""

    def __init__(self, secret: bytes) -> None:
        # A key of our own, so that the secret may serve other purposes as well.
        self._key = hmac.digest(secret, _CONTEXT, "sha256")

    def seal(self, text: str, about: str) -> str:
        """The text as it may be stored; it opens for the same `about` only, such as an id."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: few need it

        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._key).encrypt(nonce, text.encode(), about.encode())
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, about: str) -> str:
        """The text; raises ConfigurationError when it was sealed with another key."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        given = base64.b64decode(sealed)
        nonce, content = given[:_NONCE_BYTES], given[_NONCE_BYTES:]
        try:
            return AESGCM(self._key).decrypt(nonce, content, about.encode()).decode()
        except InvalidTag:
            raise ConfigurationError(_CHANGED) from None
