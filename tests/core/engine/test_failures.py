"""Foreign exceptions as callers see them."""

import logging

import pytest

from opsin.core.engine.failures import as_opsin_error, is_out_of_memory, safe_text
from opsin.core.errors import InvalidImage, OperationFailed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mat1 and mat2 cannot be multiplied (1x2 and 3x4)",) * 2,
        ("expected 3 channels, got 4 (N/A, 50 km/h)",) * 2,
        ("No such file: '/srv/my models/clip.pt'", "No such file: <path>"),
        ("cannot open /srv/models/clip.pt, gave up", "cannot open <path>, gave up"),
        ("see ~/models/clip.pt", "see <path>"),
        ("see models/private/clip.pt", "see <path>"),
        (r"cannot open C:\Users\me\clip.pt", "cannot open <path>"),
        ("<Model object at 0x7f3a2b10> is bad", "<Model object at <address>> is bad"),
        ("GET https://user:pw@host/x?key=1 said 404", "GET <address> said 404"),
        ("refused by 10.0.0.7:5432", "refused by <address>"),
        ("refused by db.internal:5432", "refused by <address>"),
        ("bad api_key=abc123 given", "bad api_key=<hidden> given"),
        ("token Ab3" + "x9" * 20 + " expired", "token <hidden> expired"),
        ("one\ntwo\x00\x1b[31m  three", "one two [31m three"),
        ("bad value\nTraceback (most recent call last):\n  File x, line 1", "bad value"),
    ],
)
def test_nothing_about_the_machine_is_shown(text: str, shown: str) -> None:
    assert safe_text(RuntimeError(text)) == f"RuntimeError: {shown}"


def test_a_long_text_is_cut() -> None:
    assert len(safe_text(ValueError("no " * 5000))) <= 220
    assert safe_text(ValueError()) == "ValueError"


def test_an_exception_that_cannot_be_shown() -> None:
    class Broken(RuntimeError):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert safe_text(Broken()) == "Broken"
    assert not is_out_of_memory(Broken())


def test_the_caller_gets_a_short_text_and_the_log_all_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "opsin.engine"):
        error = as_opsin_error(ValueError("no /srv/secret/file"), "operation 'x'")
    assert type(error) is OperationFailed
    assert error.message == "operation 'x' failed: ValueError: no <path>"
    assert "no /srv/secret/file" in caplog.text


def test_our_own_errors_pass_through_without_the_frames_that_raised_them() -> None:
    caught: InvalidImage
    try:
        try:
            raise KeyError("x")
        except KeyError:
            raise InvalidImage("too dark") from None
    except InvalidImage as error:
        caught = error
    assert as_opsin_error(caught, "operation 'x'") is caught
    assert caught.__traceback__ is None
    assert caught.__context__ is None


def test_out_of_memory_is_told_by_name() -> None:
    class OutOfMemoryError(RuntimeError):  # torch's, without torch
        pass

    class ArrayMemoryError(MemoryError):
        pass

    assert is_out_of_memory(OutOfMemoryError())
    assert is_out_of_memory(ArrayMemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: ..."))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"))
    assert is_out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    )
    assert not is_out_of_memory(RuntimeError("shape"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))
