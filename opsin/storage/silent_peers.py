"""Connections to PostgreSQL that end, at both ends, when the other end has fallen silent."""

import socket
from functools import cache
from typing import Any

_IDLE, _BETWEEN, _TIMES = 5, 3, 3
_UNANSWERED = 15_000
"""Milliseconds after which what was sent and not acknowledged ends a connection."""

SERVER_SETTINGS = {
    "tcp_keepalives_idle": str(_IDLE),
    "tcp_keepalives_interval": str(_BETWEEN),
    "tcp_keepalives_count": str(_TIMES),
    "tcp_user_timeout": str(_UNANSWERED),
    "idle_in_transaction_session_timeout": "60000",
}
"""For each session: the server gives up the locks of a node that vanished, not in two hours' time.

Its rows could not be taken over; and had it just told of events, no other node could write.
"""


@cache
def connection_class() -> type[Any]:
    """For asyncpg's `connection_class`.

    Without it a server that vanished (a pulled cable, a failover that says no goodbye) is waited
    for as long as the system repeats its packets: a quarter of an hour, or for ever by a listener.
    Raises ModuleNotFoundError without asyncpg.
    """
    import asyncpg

    class Connection(asyncpg.Connection):  # type: ignore[misc]  # published without types
        """Asks an idle peer whether it is there."""

        def __init__(self, protocol: Any, transport: Any, *arguments: Any) -> None:
            super().__init__(protocol, transport, *arguments)
            _watch(transport.get_extra_info("socket"))

    return Connection


def _watch(connected: Any) -> None:
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _IDLE),
        ("TCP_KEEPINTVL", _BETWEEN),
        ("TCP_KEEPCNT", _TIMES),
        ("TCP_USER_TIMEOUT", _UNANSWERED),
    ):
        if option := getattr(socket, name, None):  # not every system has each of them
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
