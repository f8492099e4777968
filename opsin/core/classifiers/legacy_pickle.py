"""A pickled scikit-learn logistic regression read as data: nothing in the file is ever executed.

A pickle is a program for a small stack machine.  This machine knows the few instructions that
numbers, texts and containers need, and the few names below; what a name stands for is made here,
never imported.  Everything else is refused.  Also read is joblib's form, in which the bytes of an
array follow the instruction that describes it, also when zlib or gzip compressed it.
"""

import io
import pickletools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from opsin.core.classifiers.legacy_arrays import (
    Array,
    ArrayType,
    JoblibArray,
    array_from_buffer,
    empty_array,
    encoded_bytes,
    joblib_array,
    scalar,
)
from opsin.core.errors import InvalidInput

MOST_BYTES: Final = 64 * 2**20
_MOST_STEPS: Final = 1_000_000


@dataclass(eq=False)
class PickledObject:
    """An instance of the class of that name: its attributes, and nothing of its behaviour."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the file mentions, and what calling it makes."""

    name: str
    make: Callable[..., Any]


_ESTIMATOR = "LogisticRegression"


def _estimator(*arguments: Any) -> PickledObject:
    if arguments:
        raise ValueError("an estimator is made without arguments")
    return PickledObject(_ESTIMATOR)


def _mentioned(*arguments: Any) -> Any:
    raise ValueError("this name is mentioned, never called")


_NAMES: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("sklearn.linear_model._logistic", _ESTIMATOR): _estimator,
    ("sklearn.linear_model.logistic", _ESTIMATOR): _estimator,
    ("numpy", "ndarray"): _mentioned,
    ("numpy", "dtype"): ArrayType.of,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): joblib_array,
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"): joblib_array,
    ("_codecs", "encode"): encoded_bytes,
    **{
        (f"numpy.{core}.{module}", name): make
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", empty_array),
            ("multiarray", "scalar", scalar),
            ("numeric", "_frombuffer", array_from_buffer),
        )
    },
}
_MARK: Final = object()
_PACKED: Final = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def read_pickle(content: bytes) -> Any:
    """The object in a pickle or a joblib dump.

    Raises InvalidInput for a file that is broken, too large, or that mentions anything else than a
    logistic regression and arrays of numbers.
    """
    try:
        return _Machine(io.BytesIO(_unpacked(content))).run()
    except InvalidInput:
        raise
    except (
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        OverflowError,
        MemoryError,
        zlib.error,
    ) as error:
        # Of the operation that failed only the kind is told: its text may quote the file.
        raise InvalidInput(f"the file is broken: {type(error).__name__}") from error


def _unpacked(content: bytes) -> bytes:
    """The content of a file that joblib compressed by zlib or gzip; that of others as it is."""
    if content[:2] in _PACKED:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        content = unpacking.decompress(content, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"the file has more than {MOST_BYTES} bytes")
    return content


class _Machine:
    """The stack, the memo and the file; each instruction is a method."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for name, argument in self._instructions():
            if name == "STOP":
                return self._stack.pop()
            step = _STEPS.get(name)
            if step is None:
                raise InvalidInput(f"the file has the instruction {name}, which is not allowed")
            step(self, argument)
        raise InvalidInput("the file ends in the middle")

    def _instructions(self) -> Iterator[tuple[str, Any]]:
        # One at a time: an array's bytes may come between two of them, and are read by BUILD.
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._file)):
            if count > _MOST_STEPS:
                raise InvalidInput("the file has too many instructions")
            yield opcode.name, argument

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def top(self, kind: type[Any]) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"no {kind.__name__} where one should be")
        return self._stack[-1]

    def push_name(self, module: Any, name: Any) -> None:
        # Texts only: the hash of tuples in tuples in tuples may take for ever.
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is no text")
        make = _NAMES.get((module, name))
        if make is None:
            mentioned = f"{module[:60]}.{name[:60]}"
            raise InvalidInput(f"the file mentions {mentioned}, which is not allowed")
        self.push(_Name(name, make))

    def call(self, arguments: Any) -> None:
        called = self.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise ValueError("something is called that is no name")
        self.push(called.make(*arguments))

    def build(self) -> None:
        state = self.pop()
        built = self._stack[-1]
        if isinstance(built, PickledObject):
            if not isinstance(state, dict):
                raise ValueError("the state of an estimator is a dict")
            built.attributes.update(state)
        elif isinstance(built, Array | ArrayType):
            built.set_state(state)
        elif isinstance(built, JoblibArray):
            built.set_state(state)
            self._stack[-1] = built.read(self._file)
        else:
            raise ValueError("a state for something that has none")

    def memoize(self, index: int | None = None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def recall(self, index: int) -> None:
        self.push(self._memo[index])

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        names = values[::2]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a key that is no text")
        self.top(dict).update(zip(names, values[1::2], strict=True))


def _value(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, argument: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return step


def _nothing(machine: _Machine, argument: Any) -> None:
    pass


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.push_name(module, name)


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push_name(module, name)


_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINUNICODE BINBYTES BINBYTES8 SHORT_BINBYTES BYTEARRAY8"
)
_STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    **dict.fromkeys(_VALUES.split(), _value),
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(_MARK),
    "EMPTY_TUPLE": _tuple(0),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(machine.pop()),
    "NEWOBJ": lambda machine, _: machine.call(machine.pop()),
    "BUILD": lambda machine, _: machine.build(),
}
