"""The plugin of the fault tests, as text: it marks its runs, keeps files, misbehaves if told."""

PLUGIN = '''
"""Writes down each item that it runs, with the process that ran it; some items are poison."""

import ctypes
import os
import time

from opsin import Annotation, Operation, Params, ProducedArtifact, Result, Runner, hookimpl


class MarkParams(Params):
    mark: int = 0
    poison: str = ""


class MarkResult(Result):
    mark: int

    def annotations(self):
        return [
            Annotation(annotation_type="mark", class_name=str(self.mark), data={"n": n})
            for n in range(2)
        ]

    def artifacts(self):
        if self.mark % 10:
            return []
        return [ProducedArtifact(
            name="mark.txt", content=f"mark {self.mark}".encode(), content_type="text/plain"
        )]


_LEAKED = []


def _misbehave(poison):
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


class MarkRunner(Runner):
    max_batch = 8

    def __init__(self, path, seconds):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seconds = seconds

    def run(self, batch):
        for item in batch:
            os.write(self._file, f"{item.params.mark} {os.getpid()}\\n".encode())
            _misbehave(item.params.poison)
            time.sleep(self._seconds)
        return [MarkResult(mark=item.params.mark) for item in batch]


class WriteMark(Operation):
    name = "write_mark"
    version = "1"
    description = "Writes its mark into a file."
    params = MarkParams
    result = MarkResult

    def __init__(self, path, seconds):
        self._arguments = path, seconds

    def load(self, context):
        return MarkRunner(*self._arguments)


@hookimpl
def opsin_operations(options):
    return [WriteMark(options["path"], options["seconds"])]
'''
