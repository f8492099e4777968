"""Fakes that take memory: operations with a model's file, runners that say what they take."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opsin.core.contract import Folder, LoadContext, ModelRequirement, Runner
from opsin.core.testing import FakeOperation, FakeParams, FakeResult, FakeRunner, Script


def safetensors_of(size: int) -> bytes:
    """A file of so many bytes with one tensor."""
    count = size - 8 - 128
    header = {"x": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    return (128).to_bytes(8, "little") + json.dumps(header).ljust(128).encode() + bytes(count)


class SizedRunner(FakeRunner):
    """Says what it takes, and remembers on which thread it was closed."""

    def __init__(self, script: Script, takes: int | None) -> None:
        super().__init__(script)
        self.takes = takes

    def memory_bytes(self) -> int | None:
        return None if self.takes is None else self.takes * 1000

    def close(self) -> None:
        super().close()
        self.script.threads.add(f"close on {threading.current_thread().name}")


class SizedOperation(FakeOperation):
    """Has a model with a file of `size` kB, and takes `takes` kB when it is loaded."""

    def __init__(
        self,
        name: str,
        folder: Path,
        size: int,
        script: Script | None = None,
        *,
        takes: int | None = None,
        **declared: Any,
    ) -> None:
        path = folder / f"weights-of-{name}"
        path.mkdir(exist_ok=True)
        (path / "model.safetensors").write_bytes(safetensors_of(size * 1000))
        model = ModelRequirement("network", name, Folder(path, ("model.safetensors",)), "MIT")
        declared = {"models": (model,), **declared}
        super().__init__(name, script, lambda script: SizedRunner(script, takes), **declared)


class SharedWeights:
    """What operations share; weakly referenced by tests."""


class SharingRunner(FakeRunner):
    def __init__(self, script: Script, weights: Any) -> None:
        super().__init__(script)
        self.weights = weights

    def close(self) -> None:
        super().close()
        del self.weights


class SharingOperation(SizedOperation):
    """Shares its model with others that have the same one."""

    def __init__(
        self, *args: Any, build: Callable[[], Any] = SharedWeights, **declared: Any
    ) -> None:
        super().__init__(*args, **declared)
        self.build = build

    def load(self, context: LoadContext) -> Runner[FakeParams, FakeResult]:
        self.script.load()
        return SharingRunner(self.script, context.share("network", self.build))
