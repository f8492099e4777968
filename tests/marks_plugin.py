"""Writes down each item that it runs, with the process that ran it; some items are poison."""

import ctypes
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from opsin import (
    Annotation,
    Item,
    LoadContext,
    Operation,
    OperationFailed,
    Params,
    ProducedArtifact,
    Result,
    Runner,
    hookimpl,
)

_LEAKED: list[bytearray] = []


class MarkParams(Params):
    mark: int = 0
    poison: str = ""


class MarkResult(Result):
    mark: int

    def annotations(self) -> Sequence[Annotation]:
        return [
            Annotation(annotation_type="mark", class_name=str(self.mark), data={"n": n})
            for n in range(2)
        ]


class KeptMarkResult(MarkResult):
    """As `MarkResult`; every tenth keeps a file."""

    def artifacts(self) -> Sequence[ProducedArtifact]:
        if self.mark % 10:
            return []
        content = f"mark {self.mark}".encode()
        return [ProducedArtifact(name="mark.txt", content=content, content_type="text/plain")]


class MarkRunner(Runner[MarkParams, MarkResult]):
    max_batch = 8

    def __init__(self, result: type[MarkResult], path: str, seconds: float) -> None:
        self._result = result
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seconds = seconds

    def run(self, batch: Sequence[Item[MarkParams]]) -> Sequence[MarkResult]:
        for item in batch:
            os.write(self._file, f"{item.params.mark} {os.getpid()}\n".encode())
            _misbehave(item.params.poison)
            time.sleep(self._seconds)
        return [self._result(mark=item.params.mark) for item in batch]


class WriteMark(Operation[MarkParams, MarkResult]):
    name = "write_mark"
    version = "1"
    description = "Writes its mark into a file."
    params = MarkParams
    result: ClassVar[type[MarkResult]] = MarkResult

    def __init__(self, path: str, seconds: float) -> None:
        self._arguments = path, seconds

    def load(self, context: LoadContext) -> MarkRunner:
        return MarkRunner(self.result, *self._arguments)


class WriteKeptMark(WriteMark):
    result = KeptMarkResult


def _misbehave(poison: str) -> None:
    if poison == "fail":
        raise OperationFailed("this one always fails")
    if poison == "segfault":
        ctypes.string_at(0)
    elif poison == "exit":
        os._exit(3)
    elif poison == "hang":
        while True:
            time.sleep(1)
    elif poison == "leak":
        while True:  # until the machine, or its limit, says no
            _LEAKED.append(bytearray(8 * 2**20))


@hookimpl
def opsin_operations(options: Mapping[str, Any]) -> Sequence[Operation[Any, Any]]:
    kind = WriteKeptMark if options["files"] else WriteMark
    return [kind(options["path"], options["seconds"])]
