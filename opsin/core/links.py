"""Links that carry their own permission: a path, what it may be asked for, until when."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from opsin.core.errors import ConfigurationError, Forbidden

MIN_SECRET_BYTES = 32

_CONTEXT = b"opsin link 1"


class Links:
    """Signs paths of this server, so that whoever has the link needs no other credentials."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigurationError(f"the link secret needs at least {MIN_SECRET_BYTES} bytes")
        # A key of our own, so that the secret may serve other purposes as well.
        self._key = hmac.digest(secret, _CONTEXT, "sha256")

    def sign(self, path: str, /, *, expires_at: datetime, **parameters: str) -> str:
        """A relative URL for a decoded path (`/blobs/a b.png`), percent-encoded, with its query.

        Every parameter is signed: none can be added, changed or left out.
        """
        if reserved := {"expires", "signature"} & parameters.keys():
            raise ValueError(f"{', '.join(reserved)}: not for callers")
        query = {**parameters, "expires": str(_seconds(expires_at))}
        query["signature"] = self._signature(path, query)
        return f"{quote(path)}?{urlencode(query)}"

    def verify(self, path: str, query: Mapping[str, str], now: datetime) -> None:
        """Raise `Forbidden` unless this decoded path and whole query were signed and still hold.

        A query with a name twice must be read through the same mapping that was verified.
        """
        signed = {name: value for name, value in query.items() if name != "signature"}
        given = query.get("signature", "").encode("utf-8", "surrogatepass")
        expected = self._signature(path, signed).encode("ascii")
        if not hmac.compare_digest(given, expected):
            raise Forbidden("the link is not valid")
        # Only now is `expires` known to be our own number.
        if _seconds(now) >= int(signed["expires"]):
            raise Forbidden("the link has expired")

    def _signature(self, path: str, query: Mapping[str, str]) -> str:
        # JSON leaves no two requests with the same text, whatever characters they contain.
        message = json.dumps([path, sorted(query.items())]).encode("ascii")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _seconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return int(moment.timestamp())


def load_or_create_secret(path: Path) -> bytes:
    """The secret in a file, made (mode 0600) where there is none.

    Of several processes that start together one makes it and all get the same.
    """
    try:
        return _read_secret(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigurationError("the secret file cannot be read") from error
    try:
        _create_secret(path)
        return _read_secret(path)
    except OSError as error:
        raise ConfigurationError("the secret file cannot be written") from error


def _read_secret(path: Path) -> bytes:
    secret = path.read_bytes().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(f"the secret file needs at least {MIN_SECRET_BYTES} characters")
    return secret


def _create_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole and, unlike a rename, never replaces what another process made.
        os.link(ours, path)
    except FileExistsError:
        pass
    finally:
        ours.unlink(missing_ok=True)
