"""What can go wrong between a pipeline and its server; each error says what to do next.

ClientError
├── InvalidFinding       an annotation that cannot be stored; `index` says which of those given
├── Unreachable          no connection or no answer, also after every attempt
├── AnswerLost           the request was sent, no answer came, and a repeat could act twice
├── NotAnOpsinServer     something else answers at this address
├── GraphQLRefused       the question was answered with errors; `code` is the first one's
└── Refused              the server answered with an error; `status`, `detail`
    ├── SignatureRefused     401: the secret, or how the request was signed
    │   └── ClockWrong           this machine's clock is too far off the server's
    ├── KeyRefused           401: the API key or the proxy's headers
    ├── Forbidden            403
    ├── NotFound             404
    ├── Conflict             409: the analysis's state does not allow it
    ├── TooLarge             413
    └── Busy                 429, 502, 503, 504, also after every attempt
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Base of the tree; the text says what happened, then what to do."""


class InvalidFinding(ClientError):
    """One annotation is bad; nothing of the request that held it was stored."""

    def __init__(
        self, index: int, reason: str, annotation: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(
            f"Annotation {index} cannot be stored: {reason}. "
            "Mend or leave out this one; nothing of its chunk was stored."
        )
        self.index = index
        self.reason = reason
        self.annotation = annotation


class Unreachable(ClientError):
    def __init__(self, url: str, what: str, reason: str, attempts: int) -> None:
        tried = "" if attempts == 1 else f" in {attempts} attempts"
        super().__init__(
            f"{what}: no answer from {url}{tried}: {reason}. "
            "Look whether the server runs, whether the address and port are right, "
            "and whether the client's timeout is long enough."
        )


class AnswerLost(ClientError):
    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what} was sent, but its answer was lost ({reason}), and this server does not "
            "remember requests, so it was not sent again. Read the analysis to see what was stored."
        )


class NotAnOpsinServer(ClientError):
    def __init__(self, url: str, found: str) -> None:
        super().__init__(
            f"{url} answers with {found}. Give the address that `opsin serve` prints, without "
            "a path."
        )


class GraphQLRefused(ClientError):
    def __init__(self, message: str, code: str | None, *, has_key: bool = False) -> None:
        advice = ""
        if code == "UNAUTHENTICATED":
            advice = (
                " The key may be mistyped or revoked; `opsin keys create NAME` makes another."
                if has_key
                else " Make a key with `opsin keys create NAME` and give it as api_key; what a "
                "proxy would send is not enough here."
            )
        super().__init__(f"{message.rstrip('.')}.{advice}")
        self.code = code


class Refused(ClientError):
    """The server's own words are in `detail`."""

    def __init__(self, what: str, status: int, detail: str, advice: str = "") -> None:
        super().__init__(f"{what}: {status} {detail.rstrip('.')}. {advice}".rstrip())
        self.status = status
        self.detail = detail


class SignatureRefused(Refused):
    pass


class ClockWrong(SignatureRefused):
    """`seconds` is how far this machine is ahead of the server; negative when it is behind."""

    def __init__(self, what: str, status: int, detail: str, seconds: float) -> None:
        side = "ahead of" if seconds > 0 else "behind"
        minutes, rest = divmod(round(abs(seconds)), 60)
        super().__init__(
            what,
            status,
            detail,
            f"This machine's clock is {minutes} min {rest} s {side} the server's, and signatures "
            "hold the time. Set the clock, for example by NTP.",
        )
        self.seconds = seconds


class KeyRefused(Refused):
    pass


class Forbidden(Refused):
    pass


class NotFound(Refused):
    pass


class Conflict(Refused):
    pass


class TooLarge(Refused):
    pass


class Busy(Refused):
    pass
