"""How much of a device models may take, as the operator writes it."""

import os
import sys
import types
from pathlib import Path

import pytest

from opsin.core.engine import Engine, device
from opsin.core.engine.memory_limit import MemoryLimit, readable
from opsin.core.errors import ConfigurationError
from tests.core.engine.workbench import host_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8000000000", 8_000_000_000),
        ("512B", 512),
        ("1kB", 1000),
        ("12GB", 12_000_000_000),
        (" 1.5 GiB ", 3 * 2**29),
        ("0.5TiB", 2**39),
    ],
)
def test_bytes(text: str, size: int) -> None:
    limit = MemoryLimit.parse(text)
    assert limit.of("cpu") == limit.of("cuda:7") == size, "no device is asked"


def test_shares_are_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"cpu": 1000, "cuda:0": 2000}
    monkeypatch.setattr("opsin.core.engine.memory_limit.total_memory", sizes.__getitem__)
    half = MemoryLimit.parse("50%")
    assert (half.of("cpu"), half.of("cuda:0")) == (500, 1000)
    default = MemoryLimit.parse(None)
    assert (default.of("cpu"), default.of("cuda:0")) == (500, 1600)
    assert MemoryLimit.parse("100%").of("cpu") == 1000


@pytest.mark.parametrize(
    "text", ["", "0", "0GB", "0%", "101%", "much", "-1GB", "12 XB", "12gb", "1e9", "GB", "0.5"]
)
def test_anything_else_is_refused_when_the_engine_is_made(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"OPSIN_DEVICE_MEMORY is .*'12GB'.*'80%'"):
        MemoryLimit.parse(text)
    with pytest.raises(ConfigurationError):
        Engine(host_of(), None, device_memory=text)  # type: ignore[arg-type]  # never reached


def test_the_machine_is_what_the_container_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, none, absent = tmp_path / "limit", tmp_path / "none", tmp_path / "absent"
    limit.write_text("3000000\n")
    none.write_text("max\n")
    monkeypatch.setattr(device, "_CGROUP_LIMITS", (absent, none))
    assert device.total_memory("cpu") == machine
    monkeypatch.setattr(device, "_CGROUP_LIMITS", (none, limit))
    assert device.total_memory("cpu") == 3_000_000


def test_a_cuda_device_is_asked_through_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]  # a module made here
        get_device_properties=lambda name: types.SimpleNamespace(
            total_memory={"cuda:1": 10_000}[name]
        ),
        memory_allocated={"cuda:1": 70}.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert MemoryLimit.parse(None).of("cuda:1") == 8000
    assert device.allocated_memory("cuda:1") == 70
    assert device.allocated_memory("cpu") == 0


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (12_340_000_000, "12.3 GB"),
        (2 * 10**12, "2.0 TB"),
    ],
)
def test_for_people(size: int, words: str) -> None:
    assert readable(size) == words
