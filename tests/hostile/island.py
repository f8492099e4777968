"""A network of its own for one process: any address on loopback, and a name server that lies.

`python -m tests.hostile.island MODULE` runs `MODULE.main()` there.  The addresses are real as far
as the system can tell: what is public is connected to as such, and so is what must not be reached.
"""

import ctypes
import fcntl
import importlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
from functools import cache
from ipaddress import ip_address
from pathlib import Path

PUBLIC, PUBLIC_V6 = "93.184.216.34", "2606:2800:220:1::34"
PRIVATE = ("10.0.0.5", "169.254.169.254", "100.64.0.9", "192.168.7.7", "168.63.129.16")
PRIVATE_V6 = ("fd00::5", "fec0::5", "64:ff9b:1::5")
NAME_SERVER = "127.0.0.53"

_USER, _MOUNTS, _NETWORK = 0x10000000, 0x00020000, 0x40000000
_BIND, _PRIVATE_MOUNT, _RECURSIVE = 4096, 1 << 18, 16384
_SET_ADDRESS, _GET_FLAGS, _SET_FLAGS, _GET_INDEX = 0x8916, 0x8913, 0x8914, 0x8933
_UP = 1


@cache
def is_possible() -> bool:
    """Whether this machine lets a process have a network of its own."""
    command = [sys.executable, "-m", __name__, "tests.hostile.nothing"]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def enter() -> None:
    """Move this process, which has one thread, onto the island."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_USER | _MOUNTS | _NETWORK):
        raise OSError(ctypes.get_errno(), "no namespaces of its own")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE_MOUNT, None)
    with tempfile.TemporaryDirectory(prefix="opsin-island-") as folder:
        for name, text in (
            ("resolv.conf", f"nameserver {NAME_SERVER}\noptions timeout:2 attempts:1\n"),
            ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ):
            made = Path(folder, name)
            made.write_text(text)
            place = Path("/etc", name)
            if place.exists() and libc.mount(bytes(made), bytes(place), None, _BIND, None):
                raise OSError(ctypes.get_errno(), f"{place} cannot be replaced")
    for number, address in enumerate(("127.0.0.1", PUBLIC, *PRIVATE)):
        _add(address, "lo" if number == 0 else f"lo:{number}")
    for address in (PUBLIC_V6, *PRIVATE_V6):
        _add_v6(address)


def _add(address: str, interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = interface.encode()
        given = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, ip_address(address).packed)
        fcntl.ioctl(any_socket, _SET_ADDRESS, given)
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack("16sH14x", name, 0))
        flags = struct.unpack("16sH14x", answer)[1] | _UP
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", name, flags))


def _add_v6(address: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _GET_INDEX, struct.pack("16si12x", b"lo", 0))
        index = struct.unpack("16si12x", answer)[1]
        given = struct.pack("16sIi", ip_address(address).packed, 128, index)
        fcntl.ioctl(any_socket, _SET_ADDRESS, given)


if __name__ == "__main__":
    enter()
    importlib.import_module(sys.argv[1]).main()
