"""Which network addresses the server may connect to for a caller, and connections held to that."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

import httpcore
import httpx

from opsin.core.errors import AddressNotAllowed, ConfigurationError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to addresses in text, best first; raises OSError or ValueError."""

WEB_PORTS = frozenset({80, 443})

NOT_ALLOWED = "the URL leads to an address or port that is not allowed"
"""One text for both, also when it comes from a redirect."""

_CONNECT_SECONDS = 3.0
_MOST_ATTEMPTS = 4

# Globally routed as far as `ipaddress` of every Python we support knows, and still not for
# callers: protocol assignments (Oracle's metadata service), 6to4 relays, Azure's host agent.
_REFUSED_V4 = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("168.63.129.16/32"),
)
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet, looking through IPv4 inside IPv6."""
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in _NAT64:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(inside)
        # Naming what is good leaves out site-local, Teredo and whatever else is reserved.
        return address in _GLOBAL_UNICAST and address.is_global
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _REFUSED_V4)
    )


@dataclass(frozen=True, slots=True)
class AllowedDestination:
    """One line of the allow-list: a host name or a network, on one port or on the web's ports."""

    host: str | None
    network: Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "AllowedDestination":
        """`images.intra`, `images.intra:8080`, `10.1.0.0/16`, `127.0.0.1:9000`, `[::1]:9000`."""
        try:
            return cls(None, ip_network(text.strip("[]")), None)
        except ValueError:
            name, colon, digits = text.rpartition(":")
        if not colon:
            name, digits = text, ""
        elif not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536):
            raise ConfigurationError("the fetch allow-list has an entry with an unusable port")
        port = int(digits) if digits else None
        try:
            return cls(None, ip_network(name.strip("[]")), port)
        except ValueError:
            pass
        try:
            host = httpx.URL(scheme="http", host=name).raw_host.decode("ascii")
        except httpx.InvalidURL:
            host = ""
        if not host or "/" in name or "*" in name:
            raise ConfigurationError(
                "the fetch allow-list takes host, host:port, network or network:port"
            )
        return cls(host.rstrip("."), None, port)


class AddressPolicy:
    """What may be connected to: public addresses on `ports`, and the allow-list's destinations.

    An allow-list entry without a port means `ports`.  A named host is trusted wherever its name
    leads; a network holds for every host name that leads into it.
    """

    def __init__(self, allow: Iterable[str] = (), ports: Iterable[int] = WEB_PORTS) -> None:
        self._allow = tuple(AllowedDestination.parse(entry) for entry in allow)
        self._ports = frozenset(ports)

    def check_port(self, port: int) -> None:
        """Refuse a port that no address could make right, before a name is looked up."""
        if port not in self._ports and all(entry.port != port for entry in self._allow):
            raise AddressNotAllowed(NOT_ALLOWED)

    def names(self, host: str, port: int) -> bool:
        """Whether the allow-list has this very host name or address, wherever a name may lead."""
        host = host.lower().rstrip(".")
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            address = None
        return any(
            (port in self._ports if entry.port is None else entry.port == port)
            and (
                host == entry.host
                if entry.network is None
                else address is not None and address in entry.network
            )
            for entry in self._allow
        )

    def check(self, host: str, port: int, addresses: Iterable[str]) -> list[Address]:
        """The addresses of a host, if every one of them may be connected to."""
        found = [ip_address(address) for address in addresses]
        if not all(self._allows(host, port, address) for address in found):
            raise AddressNotAllowed(NOT_ALLOWED)
        return found

    def _allows(self, host: str, port: int, address: Address) -> bool:
        web_port = port in self._ports
        if web_port and is_public(address):
            return True
        host = host.lower().rstrip(".")
        return any(
            (web_port if entry.port is None else entry.port == port)
            and (host == entry.host if entry.network is None else address in entry.network)
            for entry in self._allow
        )


class SystemResolver:
    """The operating system's name lookup, on threads of its own.

    It cannot be interrupted: names that answer slowly would otherwise fill the thread pool that
    everything else uses.
    """

    def __init__(self, threads: int = 16) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


async def checked_addresses(
    policy: AddressPolicy, resolver: Resolver, host: str, port: int
) -> list[Address]:
    """The addresses of a host to try in turn: looked up once, and every one of them allowed.

    Raises AddressNotAllowed; OSError or ValueError for a name that cannot be resolved.
    """
    policy.check_port(port)
    return policy.check(host, port, await resolver(host, port))[:_MOST_ATTEMPTS]


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every address, and connects to the checked addresses only.

    Nothing looks the name up a second time, so an answer that changes in between (DNS rebinding)
    has no effect.  TLS still verifies the host name of the URL.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await checked_addresses(self._policy, self._resolver, host, port)
        except (OSError, ValueError) as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                stream = await self._network.connect_tcp(
                    str(address), port, min(timeout or _CONNECT_SECONDS, _CONNECT_SECONDS)
                )
                return _PlainStream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressNotAllowed(NOT_ALLOWED)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _PlainStream(httpcore.AsyncNetworkStream):
    """A connection before TLS, closed also when its handshake is cancelled.

    httpcore 1.0.9 closes it after an error only: each deadline would leave a socket behind.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
