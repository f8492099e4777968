"""This machine: room on its disks, devices, extras, whether its port can be listened on."""

import asyncio
import errno
import json
import shutil
import socket
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from opsin import __version__
from opsin.core.checkup.findings import Finding, bad, good, poor
from opsin.core.engine.device import resolve_device, total_memory

EXTRAS: Mapping[str, str] = {
    "models": "torch",
    "postgres": "asyncpg",
    "s3": "aiobotocore",
    "ray": "ray",
    "reports": "fpdf",
    "telemetry": "opentelemetry.exporter",
}
"""A package of each extra that nothing else brings."""
_LITTLE_BYTES, _LEAST_BYTES = 5 * 10**9, 5 * 10**8
_PROBE_SECONDS = 3.0
_OLD = 1_735_689_600  # 2025-01-01: a machine whose clock has lost its battery is before that


async def look_at_versions() -> AsyncIterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield good("versions", f"opsin {__version__}, Python {python}, SQLite {sqlite3.sqlite_version}")
    if time.time() < _OLD:
        yield bad("clock", "this machine's clock is years behind", "set it; certificates fail, too")


async def look_at_disk(folders: Mapping[str, Path]) -> AsyncIterator[Finding]:
    """Free room where each of the folders is, or will be; each disk once."""
    seen: set[int] = set()
    for what, folder in folders.items():
        there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), None)
        if there is None or (device := there.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        told = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are free for {what}"
        if usage.free < _LEAST_BYTES:
            yield bad("disk", told, "make room: writes will fail soon")
        elif usage.free < _LITTLE_BYTES:
            yield poor("disk", told, "make room, or set a retention: opsin retention --help")
        else:
            yield good("disk", told)


async def look_at_extras(needed: Mapping[str, str]) -> AsyncIterator[Finding]:
    """`needed` are extras that the settings ask for, with the setting that does."""
    present = [extra for extra, package in EXTRAS.items() if _is_there(package)]
    absent = [extra for extra in EXTRAS if extra not in present]
    yield good(
        "extras", f"installed: {', '.join(present) or 'none'}; not: {', '.join(absent) or 'none'}"
    )
    for extra, setting in needed.items():
        if extra in absent:
            yield bad(
                "extras",
                f"{setting} needs the extra {extra!r}, which is not installed",
                f"pip install 'opsin[{extra}]'",
            )


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


async def look_at_device(name: str) -> AsyncIterator[Finding]:
    """Where models will run; imports torch, which takes seconds, unless that is said already."""
    if name == "cpu":
        yield good("device", "models run on the CPU, as OPSIN_DEVICE says")
        return
    if not _is_there("torch"):
        yield good("device", "torch is not installed: operations without models run on the CPU")
        return
    device = resolve_device(name)
    memory = total_memory(device)
    told = f"models run on {device}, with {memory / 1e9:.0f} GB"
    if device == "cpu" and shutil.which("nvidia-smi"):
        yield poor(
            "device",
            f"{told}, though this machine seems to have a GPU",
            "does torch see it? python -c 'import torch; print(torch.cuda.is_available())'",
        )
    else:
        yield good("device", told)


async def look_at_port(host: str, port: int) -> AsyncIterator[Finding]:
    """Whether it can be listened on; one where Opsin answers already is well, too."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror
            is_taken = error.errno == errno.EADDRINUSE
        else:
            yield good("port", f"{host} port {port} is free")
            return
    version = await asyncio.to_thread(_opsin_at, host, port) if is_taken else None
    if version is not None:
        told = f"opsin {version} answers on {host} port {port}"
        if version == __version__:
            yield good("port", told)
        else:
            yield poor("port", f"{told}, and this is {__version__}", "restart that server")
        return
    yield bad("port", f"{host} port {port}: {reason}", "set OPSIN_HOST and OPSIN_PORT")


def _opsin_at(host: str, port: int) -> str | None:
    """The version of the server that answers there, if it is ours."""
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    name = f"[{host}]" if ":" in host else host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{name}:{port}/health", timeout=_PROBE_SECONDS) as answer:
            told = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    version = told.get("version") if isinstance(told, dict) else None
    return version if isinstance(version, str) else None
