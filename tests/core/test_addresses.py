"""Every address that must stay out of reach, and what the allow-list opens."""

import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opsin.core.addresses import AllowedDestination, is_public
from opsin.core.errors import (
    AddressNotAllowed,
    ConfigurationError,
    FetchFailed,
    InvalidInput,
)
from opsin.core.fetch import Fetcher
from tests.core.loopback import TLS, Server, answer, resolving, running
from tests.core.loopback import server as server

FAILED = "the URL could not be fetched"


@pytest.fixture
async def closed() -> AsyncIterator[Fetcher]:
    """One without an allow-list."""
    fetcher = Fetcher(timeout=5, ssl_context=TLS)
    yield fetcher
    fetcher.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "127。0。0。1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "192.0.0.192",
        "168.63.129.16",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:1::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
    ],
)
async def test_addresses_that_are_not_public_are_refused(closed: Fetcher, host: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        await closed.fetch(f"http://{host}/")
    assert host not in str(caught.value)


async def test_an_octal_host_is_no_address(closed: Fetcher) -> None:
    with pytest.raises((AddressNotAllowed, InvalidInput)):
        await closed.fetch("http://0177.0.0.1/")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("port", [22, 8080, 6379, 65535, 99999])
async def test_other_ports_are_refused_before_the_name_is_looked_up(port: int) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise AssertionError("looked up")

    with pytest.raises(AddressNotAllowed):
        await Fetcher(resolver=resolve).fetch(f"http://example.org:{port}/")


async def test_one_private_address_among_public_ones_is_enough(server: Server) -> None:
    fetcher = Fetcher(resolver=resolving(["8.8.8.8", "127.0.0.1"]), ports=[server.port])
    with pytest.raises(AddressNotAllowed):
        await fetcher.fetch(f"http://mixed.test:{server.port}/")
    assert server.connections == 0


async def test_a_name_that_changes_its_answer_gains_nothing(server: Server) -> None:
    """The first answer is checked and connected to; the second is never asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        # A public address where nothing answers, then the target of the attack.
        return ["192.88.98.1"] if len(asked) == 1 else ["127.0.0.1"]

    fetcher = Fetcher(resolver=resolve, ports=[server.port], timeout=0.3)
    with pytest.raises(FetchFailed, match=FAILED):
        await fetcher.fetch(f"http://rebind.test:{server.port}/")
    assert asked == ["rebind.test"]
    with pytest.raises(AddressNotAllowed):
        await fetcher.fetch(f"http://rebind.test:{server.port}/")
    assert server.connections == 0


async def test_a_redirect_to_the_same_name_is_resolved_and_checked_again(server: Server) -> None:
    server.answers["/"] = answer(b"", "Location: /again", status="302 Found")
    fetcher = Fetcher(
        resolver=resolving(["127.0.0.1"], ["127.0.0.2"]), allow=[f"127.0.0.1:{server.port}"]
    )
    with pytest.raises(AddressNotAllowed):
        await fetcher.fetch(f"http://name.test:{server.port}/")
    assert server.connections == 1


async def test_the_next_address_is_tried_when_one_refuses(server: Server) -> None:
    server.answers["/"] = answer(b"x")
    fetcher = Fetcher(
        resolver=resolving(["127.0.0.9", "127.0.0.1"]), allow=[f"127.0.0.0/8:{server.port}"]
    )
    with await fetcher.fetch(f"http://two.test:{server.port}/") as fetched:
        assert fetched.size == 1


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [
        ("127.0.0.1:{port}", True),
        ("127.0.0.0/8:{port}", True),
        ("pictures.test:{port}", True),
        ("PICTURES.test.:{port}", True),
        ("pictures.test", False),
        ("127.0.0.1", False),
        ("other.test:{port}", False),
        ("127.0.0.2:{port}", False),
        ("[::1]:{port}", False),
    ],
)
async def test_the_allow_list_opens_what_it_names(
    server: Server, allow: str, allowed: bool
) -> None:
    server.answers["/"] = answer(b"x")
    fetcher = Fetcher(
        allow=[allow.format(port=server.port)], resolver=resolving(["127.0.0.1"]), timeout=5
    )
    url = f"http://pictures.test:{server.port}/"
    if allowed:
        (await fetcher.fetch(url)).close()
    else:
        with pytest.raises(AddressNotAllowed):
            await fetcher.fetch(url)


async def test_an_entry_without_port_means_the_ports_of_the_web(server: Server) -> None:
    server.answers["/"] = answer(b"x")
    for entry in ("pictures.test", "127.0.0.1", "127.0.0.0/8"):
        fetcher = Fetcher(
            allow=[entry], ports=[server.port], resolver=resolving(["127.0.0.1"]), timeout=5
        )
        (await fetcher.fetch(f"http://pictures.test:{server.port}/")).close()


@pytest.mark.parametrize("entry", ["", ":80", "a:", "a:b", "a:0", "a:70000", "10.0.0.1/8", "*.org"])
def test_unusable_entries_are_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError):
        AllowedDestination.parse(entry)


def test_ipv6_entries() -> None:
    assert AllowedDestination.parse("[::1]:90").port == 90
    assert AllowedDestination.parse("::1").port is None
    assert str(AllowedDestination.parse("fd00::/8").network) == "fd00::/8"
    assert AllowedDestination.parse("[fd00::/8]:90").port == 90


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_https_verifies_the_name_although_the_address_is_connected_to(
    tmp_path: Path,
) -> None:
    pem = certificate(tmp_path, "pictures.test")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    async with running(serving) as server:
        server.answers["/"] = answer(b"x")
        fetcher = Fetcher(
            allow=[f"127.0.0.1:{server.port}"],
            resolver=resolving(["127.0.0.1"]),
            ssl_context=ssl.create_default_context(cafile=str(pem)),
        )
        (await fetcher.fetch(f"https://pictures.test:{server.port}/")).close()
        with pytest.raises(FetchFailed, match=FAILED):
            await fetcher.fetch(f"https://other.test:{server.port}/")
        untrusting = Fetcher(allow=[f"127.0.0.1:{server.port}"], resolver=resolving(["127.0.0.1"]))
        with pytest.raises(FetchFailed, match=FAILED):
            await untrusting.fetch(f"https://pictures.test:{server.port}/")


async def test_a_stalled_tls_handshake_is_left_at_the_deadline(server: Server) -> None:
    fetcher = Fetcher(allow=[f"127.0.0.1:{server.port}"], timeout=0.3)
    with pytest.raises(FetchFailed, match=FAILED):
        # The server waits for the end of a request that never comes.
        await fetcher.fetch(f"https://127.0.0.1:{server.port}/")
