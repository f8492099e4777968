"""Device names, and that torch is imported only for a runner that needs it."""

import subprocess
import sys
import types

import pytest

from opsin.core.engine import Engine, device
from opsin.core.engine.device import check_device_name, release_cached_memory, resolve_device
from opsin.core.errors import ConfigurationError
from tests.core.engine.workbench import host_of


def fake_torch(devices: int) -> types.ModuleType:
    torch = types.ModuleType("torch")
    torch.emptied = 0  # type: ignore[attr-defined]  # a module made here

    def empty_cache() -> None:
        torch.emptied += 1  # type: ignore[attr-defined]  # as above
        raise RuntimeError("CUDA error: the device is lost")

    torch.cuda = types.SimpleNamespace(  # type: ignore[attr-defined]  # as above
        is_available=lambda: devices > 0, device_count=lambda: devices, empty_cache=empty_cache
    )
    return torch


@pytest.mark.parametrize(
    ("name", "devices", "resolved"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda", 0, None),
        ("cuda:2", 2, None),
    ],
)
def test_a_name_means_a_device_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, devices: int, resolved: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(devices))
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    if resolved is None:
        with pytest.raises(ConfigurationError, match=f"torch sees {devices} CUDA devices"):
            resolve_device(name)
    else:
        assert resolve_device(name) == resolved


def test_without_torch_there_is_only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(ConfigurationError):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "CPU", "cpu ", "cuda:0\n"])
def test_other_names_are_refused_when_the_engine_is_made(name: str) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_DEVICE"):
        check_device_name(name)
    with pytest.raises(ConfigurationError, match="OPSIN_DEVICE"):
        Engine(host_of(), None, device=name)  # type: ignore[arg-type]  # never reached


def test_giving_memory_back_never_fails_and_never_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = fake_torch(1)
    monkeypatch.setitem(sys.modules, "torch", torch)
    release_cached_memory()
    assert torch.emptied == 1
    monkeypatch.delitem(sys.modules, "torch")
    release_cached_memory()
    assert "torch" not in sys.modules


def test_an_engine_at_work_imports_no_torch() -> None:
    code = """if True:
        import asyncio, sys, tempfile
        from pathlib import Path
        from opsin.core.testing import FakeOperation
        from tests.core.engine.workbench import Workbench, marks_of

        async def main():
            bench = Workbench(Path(tempfile.mkdtemp()), FakeOperation(), device="auto")
            assert marks_of(await bench.run(bench.task(mark=1))) == [1]
            await bench.engine.close()

        asyncio.run(main())
        heavy = {"torch", "fastapi", "starlette", "strawberry", "sqlalchemy"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_networks_take_the_cores_but_do_not_spin_on_them() -> None:
    code = """if True:
        import os, threading
        from opsin.core.engine.device import set_up_torch

        set_up_torch(1)
        assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'  # before torch was there
        import torch

        seen = []
        def ask():
            torch.ones(100, 100) @ torch.ones(100, 100)
            seen.append(torch.get_num_threads())

        torch.set_num_threads(8)
        # Never more than before, which the operator may have chosen.
        for cores, expected in ((12, 8), (6, 6), (6, 6), (3, 3), (1, 1), (64, 1)):
            set_up_torch(cores)
            thread = threading.Thread(target=ask)  # as that of a device
            thread.start()
            thread.join()
            assert seen.pop() == torch.get_num_threads() == expected, (cores, expected)
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision in ("none", "ieee")
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
