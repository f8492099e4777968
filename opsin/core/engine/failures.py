"""Foreign exceptions made safe to show: the type and a short text, no path, address or key."""

import logging
import re

from opsin.core.errors import OperationFailed, OpsinError

logger = logging.getLogger("opsin.engine")

_LONGEST = 200  # characters of a foreign text that a caller may see
_OUT_OF_MEMORY = frozenset({"MemoryError", "OutOfMemoryError"})  # numpy's and torch's included
# torch raises a plain RuntimeError where its own allocator for the device has no part in it.
_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")

# Order matters: a whole URL goes before the path inside it.
_HIDDEN = (
    (re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+"), "<address>"),
    (re.compile(r"(?i)\b(password|passwd|token|secret|api[_-]?key|authorization)\b\s*[=:]\s*\S+"),
     r"\1=<hidden>"),
    (re.compile(r"(['\"])(?:~|[A-Za-z]:)?[/\\][^'\"]*\1"), "<path>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
    (re.compile(r"(?<![\w.-])(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{2,5}\b"), "<address>"),
    (re.compile(r"(?:\b[A-Za-z]:)?\\[^\s'\"<>|,;)\]}]+"), "<path>"),
    (re.compile(r"(?<![\w/<])~?/[^\s'\"<>|,;)\]}]+"), "<path>"),
    (re.compile(r"(?<![\w./-])[\w.-]+(?:/[\w.-]+)+\.\w+"), "<path>"),
    (re.compile(r"(?<![\w+=-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{32,}"), "<hidden>"),
)  # fmt: skip


def safe_text(error: BaseException) -> str:
    """`Type: text` for a caller's eyes, on one line, shortened."""
    kind = type(error).__name__
    # Errors that crossed a process carry the other side's traceback in their text.
    text = _text(error)[: 5 * _LONGEST].partition("Traceback (most recent call last)")[0]
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    return f"{kind}: {text}" if text else kind


def as_opsin_error(error: BaseException, what: str) -> OpsinError:
    """The error to give a caller: our own as it is, any other as OperationFailed.

    `what` names the culprit (`operation 'caption'`); the full text goes to the log only.
    """
    if isinstance(error, OpsinError):
        # Outcomes live long; the frames that raised hold pictures, batches and half a model.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return error
    logger.error("%s failed", what, exc_info=error)
    return OperationFailed(f"{what} failed: {safe_text(error)}")


def wrong_type(what: str, answer: object, expected: type) -> OperationFailed:
    """The error for a runner that gave something else than it has to."""
    kind = type(answer).__name__
    article = "an" if expected.__name__[0] in "AEIOU" else "a"
    return OperationFailed(f"{what} gave a {kind} where {article} {expected.__name__} was expected")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help; told by class name, so torch need not be imported."""
    if any(base.__name__ in _OUT_OF_MEMORY for base in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(text in _text(error) for text in _NO_MEMORY)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a plugin's own __str__ may fail as well
        return ""
