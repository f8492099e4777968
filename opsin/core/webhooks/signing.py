"""Secrets of webhooks, made of the server's own, and signatures after Standard Webhooks.

https://www.standardwebhooks.com: the secret is `whsec_` and base64 text; what is signed with its
bytes is `id.timestamp.body`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from opsin.core.errors import ConfigurationError
from opsin.core.webhooks.records import Webhook

PREFIX: Final = "whsec_"
_CONTEXT = b"opsin webhook 1"


class Secrets:
    """Makes the secret of a webhook from the server's secret, the webhook's id and a salt.

    So the database holds none, and a copy of it signs nothing.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _CONTEXT, "sha256")

    def of(self, webhook_id: str, salt: str) -> str:
        """The secret as its owner sees it, once."""
        made = hmac.digest(self._key, f"{webhook_id} {salt}".encode(), "sha256")
        return PREFIX + base64.b64encode(made).decode()

    def valid(self, webhook: Webhook, now: datetime) -> tuple[str, ...]:
        """Those to sign with, newest first: two for a while after a rotation.

        Raises ConfigurationError when the server's secret is not the one they were made with.
        """
        current = self.of(webhook.id, webhook.secret_salt)
        if not hmac.compare_digest(digest_of(current), webhook.secret_sha256):
            raise ConfigurationError(
                "The webhook's secret was made with another OPSIN_SECRET_KEY: give the server that "
                "key again, or rotate the webhook's secret"
            )
        until = webhook.previous_until
        if webhook.previous_salt is None or until is None or until <= now:
            return (current,)
        return current, self.of(webhook.id, webhook.previous_salt)


def new_salt() -> str:
    return secrets.token_hex(32)


def digest_of(secret: str) -> str:
    """What tells, without the secret, whether another is the same."""
    return hashlib.sha256(secret.encode()).hexdigest()


def standard_signature(
    secrets_: Iterable[str], delivery_id: str, sent_at: datetime, body: bytes
) -> str:
    """The value of `webhook-signature`: one signature for each secret, separated by blanks."""
    content = f"{delivery_id}.{int(sent_at.timestamp())}.".encode() + body
    return " ".join(
        "v1,"
        + base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), content, "sha256")
        ).decode()
        for secret in secrets_
    )
