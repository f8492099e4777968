"""Running one batch so that only what is bad fails: bisection, memory, and the answers' number."""

from collections.abc import Sequence
from typing import Any

from opsin.core.contract import Runner
from opsin.core.engine.batch_size import BatchSize
from opsin.core.engine.batching import Failure
from opsin.core.engine.device import release_cached_memory
from opsin.core.engine.failures import as_opsin_error, is_out_of_memory
from opsin.core.errors import OperationFailed


def run_batch(
    runner: Runner[Any, Any], batch: Sequence[Any], what: str, size: BatchSize
) -> list[Any]:
    """One answer per prepared item, in order: the runner's output or a Failure; never raises.

    `what` names the runner in messages (`operation 'caption'`); `size` learns of batches that did
    not fit into memory.
    """
    try:
        outputs = runner.run(batch)
        answers = _answers(outputs, len(batch), what)
    # SystemExit too: a plugin that calls sys.exit() must not end the device's thread.
    except BaseException as error:
        if len(batch) == 1:
            return [Failure(as_opsin_error(error, what))]
        out_of_memory = is_out_of_memory(error)
    else:
        return answers
    # Past the except block: the error's frames no longer keep the failed batch's memory.
    if out_of_memory:
        size.refused(len(batch))
        release_cached_memory()
    half = len(batch) // 2
    return [
        *run_batch(runner, batch[:half], what, size),
        *run_batch(runner, batch[half:], what, size),
    ]


def _answers(outputs: Any, expected: int, what: str) -> list[Any]:
    try:
        answers = list(outputs)
        got = f"{len(answers)} outputs"
    except TypeError:
        answers, got = [], f"a {type(outputs).__name__}"
    if len(answers) == expected:
        return answers
    # Which output belongs to which item is unknown: none of them can be trusted.
    error = OperationFailed(f"{what} returned {got} for a batch of {expected}")
    return [Failure(error)] * expected


def encode_answers(runner: Runner[Any, Any], answers: Sequence[Any], what: str) -> list[Any]:
    """The results for what `run` gave; an output that cannot be encoded fails alone."""
    return [
        answer if isinstance(answer, Failure) else _encoded(runner, answer, what)
        for answer in answers
    ]


def _encoded(runner: Runner[Any, Any], output: Any, what: str) -> Any:
    try:
        return runner.encode(output)
    except BaseException as error:  # a plugin's SystemExit too
        return Failure(as_opsin_error(error, what))
