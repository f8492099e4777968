"""Arrays of numbers as pickles and joblib dumps describe them: small, plain, and checked."""

import io
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Values = npt.NDArray[Any]

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_MOST_SIDES = 2


@dataclass(eq=False)
class ArrayType:
    """A numpy dtype of booleans, integers or floats."""

    code: str
    order: str = "|"

    @classmethod
    def of(cls, code: Any, *how: Any) -> "ArrayType":
        """The type that `numpy.dtype` is asked for; ValueError for objects, texts and records."""
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise ValueError("not a type of numbers")
        return cls(code)

    def set_state(self, state: Any) -> None:
        """What numpy stores of a type beside its code: only the byte order can differ here."""
        _, order, subtype, names, fields, *_ = state
        if order not in ("<", ">", "|", "=") or (subtype, names, fields) != (None, None, None):
            raise ValueError("not a type of numbers")
        self.order = order

    def numpy(self) -> "np.dtype[Any]":
        return np.dtype(self.order + self.code)


@dataclass(eq=False)
class Array:
    """An array that gets its numbers from the state that follows it."""

    values: "Values | None" = None

    def set_state(self, state: Any) -> None:
        """`(version, shape, type, whether in Fortran's order, bytes)`, as numpy stores it."""
        _, shape, kind, fortran, content = state
        self.values = _array(shape, kind, "F" if fortran else "C", content)


@dataclass(eq=False)
class JoblibArray:
    """What joblib writes in place of an array, whose bytes come next in the file."""

    told: dict[str, Any] = field(default_factory=dict)

    def set_state(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ValueError("the state of an array is a dict")
        self.told = state

    def read(self, file: io.BytesIO) -> Array:
        shape, kind = self.told["shape"], _kind(self.told["dtype"])
        if self.told.get("numpy_array_alignment_bytes") is not None:  # since joblib 1.2
            file.read(file.read(1)[0])
        content = file.read(_count(shape) * kind.itemsize)
        return Array(_array(shape, self.told["dtype"], self.told["order"], content))


def joblib_array(*arguments: Any) -> JoblibArray:
    if arguments:
        raise ValueError("joblib tells of an array in its state")
    return JoblibArray()


def empty_array(*arguments: Any) -> Array:
    """`numpy._reconstruct(ndarray, (0,), b"b")`."""
    return Array()


def array_from_buffer(content: Any, kind: Any, shape: Any, order: Any, *axes: Any) -> Array:
    """`numpy._frombuffer`, by which protocol 5 makes arrays."""
    if any(axis is not None for axis in axes):
        raise ValueError("the axes are in another order")
    return Array(_array(shape, kind, order, content))


def scalar(kind: Any, content: Any) -> Any:
    """One number that numpy has given."""
    return _array((), kind, "C", content).item()


def encoded_bytes(text: Any, encoding: Any) -> bytes:
    """Bytes as protocol 2 writes them: as text, each character a byte."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("not bytes")
    return text.encode("latin1")


def _array(shape: Any, kind: Any, order: Any, content: Any) -> "Values":
    if not isinstance(content, bytes | bytearray) or order not in ("C", "F"):
        raise ValueError("not an array of numbers")
    if len(content) != _count(shape) * _kind(kind).itemsize:
        raise ValueError("as many bytes as the array does not have")
    return np.frombuffer(bytes(content), _kind(kind)).reshape(shape, order=order)


def _kind(kind: Any) -> "np.dtype[Any]":
    if not isinstance(kind, ArrayType):
        raise ValueError("not a type of numbers")
    return kind.numpy()


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > _MOST_SIDES:
        raise ValueError("not a shape")
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("not a shape")
    return math.prod(shape)
