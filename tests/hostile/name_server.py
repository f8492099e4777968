"""A name server over UDP that answers what it is told to, another thing each time if it may."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import cast

Answers = Sequence[Sequence[str]]
"""The addresses of one answer after the other, then from the beginning again."""

_HEADER = "!HHHHHH"
_A, _CNAME, _AAAA = 1, 5, 28
_NO_SUCH_NAME = 3


class NameServer(asyncio.DatagramProtocol):
    """Answers have no time to live.  A name that is a text instead of answers is an alias."""

    def __init__(self, names: Mapping[str, Answers | str]) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None
        self.asked: Counter[str] = Counter()
        """How often each name was looked up, as IPv4 and IPv6 together."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # one in all but name

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(self._answer(data), address)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], struct.calcsize(_HEADER)
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += 1 + length
        question = query[12 : at + 5]
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        name = ".".join(labels)
        known = name in self._names
        records = self._records(name, kind) if known else []
        head = struct.unpack(_HEADER, query[:12])
        flags = 0x8400 | (head[1] & 0x0100) | (0 if known else _NO_SUCH_NAME)
        counts = struct.pack(_HEADER, head[0], flags, 1, len(records), 0, 0)
        return counts + question + b"".join(records)

    def _records(self, name: str, kind: int) -> list[bytes]:
        answers = self._names[name]
        if isinstance(answers, str):
            alias = _written(answers)
            return [_record(b"\xc0\x0c", _CNAME, alias), *self._of(answers, alias, kind)]
        return self._of(name, b"\xc0\x0c", kind)

    def _of(self, name: str, written: bytes, kind: int) -> list[bytes]:
        answers = self._names[name]
        assert not isinstance(answers, str), "an alias leads to addresses"
        # Both kinds are asked for at once: the two questions get one answer.
        turn = self.asked[f"{name} {kind}"]
        self.asked[f"{name} {kind}"] += 1
        size = {_A: 4, _AAAA: 16}.get(kind)
        found = [ip_address(one).packed for one in answers[turn % len(answers)]]
        return [_record(written, kind, one) for one in found if len(one) == size]


async def serve_names(address: str, names: Mapping[str, Answers | str]) -> NameServer:
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(names), (address, 53), family=socket.AF_INET
    )
    return server


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _written(name: str) -> bytes:
    parts = [bytes([len(label)]) + label.encode() for label in name.split(".")]
    return b"".join(parts) + b"\0"
