"""Every write of the core asks what its caller may do, and notes it, or says here why not."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import opsin.core

CORE = Path(opsin.core.__file__).parent

_LEASE = "who holds a lease is no deed; the log tells what comes of it"
_WORKER = "what was asked for and noted then; the log tells of each step"
_COUNTER = "counts for itself, and says nothing of anybody"
_ANSWERS = "how a signed request was answered, which notes itself what it does"
_REST = "what was deleted and noted then goes a part at a time"

UNTOLD = {
    "audit.note_read": "what only reads, and has asked for what that takes",
    "access.Access._read_key": "when a token was used last, at most once a minute",
    "applications.backfill.Backfill._page": _WORKER,
    "applications.operation_numbers.OperationNumbers._give": _COUNTER,
    "audit_log.AuditLog._move_horizon": "the lines tell of it that its removals leave",
    "backup.file_copies.FileCopies.settle": "the operator's copy, for which nothing else may write",
    "backup.restore.Restore._restore_rows": "the rows of such a copy, its audit among them",
    "blob_sweep.BlobSweep._sweep": "files that no row names",
    "predictions.Predictions.sweep": "records beyond the newest",
    "predictions._write": "a record of an answer that changes nothing of the company's",
    "queue.claims.Claims._take": _LEASE,
    "queue.analysis_queue.AnalysisQueue.finish": _WORKER,
    "queue.analysis_queue.AnalysisQueue.recover": _LEASE,
    "queue.analysis_queue.AnalysisQueue.renew": _LEASE,
    "queue.analysis_queue.AnalysisQueue.tell": _WORKER,
    "rate_limits.RateLimits.enter": _COUNTER,
    "rate_limits.RateLimits.sweep": _COUNTER,
    "removal.Removal._remove_part": _REST,
    "sessions.Sessions.sweep": "sessions that had ended",
    "signed_answers.SignedAnswers._insert": _ANSWERS,
    "signed_answers.SignedAnswers.answer": _ANSWERS,
    "signed_answers.SignedAnswers.release": _ANSWERS,
    "signed_answers.SignedAnswers.sweep": _ANSWERS,
    "webhooks.ledger.Ledger._delete": "old deliveries",
    "webhooks.ledger.Ledger._update_mine": _LEASE,
    "webhooks.ledger.Ledger.claim": _LEASE,
    "webhooks.ledger.Ledger.start": _LEASE,
}
"""Writes that nothing is noted of, and why."""

FREE = {
    "audit.note_read": "see above",
    "predictions._write": "the answers were asked for by whoever may have operations run",
    "private_tokens.PrivateTokens.create": "a token of one's own, never more than its account",
    "private_tokens.PrivateTokens.delete": "a token of one's own",
    "sessions.Sessions.logout": "a session of one's own",
}
"""Writes by a caller that take no permission, and why."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the core, and what stands in it."""

    module: str
    qualified: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        return f"{self.module}.{self.qualified}"

    @property
    def parameters(self) -> set[str]:
        arguments = self.node.args
        return {one.arg for one in (*arguments.args, *arguments.kwonlyargs)}

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.node) if isinstance(node, ast.Call))


def _functions() -> dict[str, list[Function]]:
    found: dict[str, list[Function]] = {}
    for path in sorted(CORE.rglob("*.py")):
        module = ".".join(path.relative_to(CORE).with_suffix("").parts)
        for qualified, node in _defined(ast.parse(path.read_text())):
            found.setdefault(module, []).append(Function(module, qualified, node))
    return found


def _defined(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _defined(node, f"{prefix}{node.name}.")


def _opens_a_write(function: Function) -> bool:
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "write" and not call.args
        for node in ast.walk(function.node)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        for call in [item.context_expr]
        if isinstance(call, ast.Call)
    )


def _group_writers(module: str) -> set[str]:
    """Functions that write what several callers hand over: the second argument of GroupCommit."""
    tree = ast.parse((CORE / Path(*module.split("."))).with_suffix(".py").read_text())
    return {
        call.args[1].id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "GroupCommit"
        and isinstance(call.args[1], ast.Name)
    }


@cache
def _imports(module: str) -> dict[str, str]:
    """What a module calls functions of other modules of the core."""
    tree = ast.parse((CORE / Path(*module.split("."))).with_suffix(".py").read_text())
    return {
        alias.asname or alias.name: f"{node.module.removeprefix('opsin.core.')}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opsin.core.")
        for alias in node.names
        if node.module is not None
    }


def _reaches(function: Function, wanted: str, all_functions: dict[str, list[Function]]) -> bool:
    """Whether it, or a function of the core that it calls by name, calls `wanted`."""
    named = {one.name: one for functions in all_functions.values() for one in functions}
    seen: set[str] = set()
    left = [function]
    while left:
        one = left.pop()
        if one.name in seen:
            continue
        seen.add(one.name)
        for call in one.calls():
            called = ast.unparse(call.func)
            if called.startswith(wanted) or called.endswith(f".{wanted}"):
                return True
            # One of the same object, a function of the module, or one that was imported.
            if called.startswith("self."):
                called = f"{one.qualified.rpartition('.')[0]}.{called.removeprefix('self.')}"
            found = named.get(f"{one.module}.{called}")
            found = found or named.get(_imports(one.module).get(called, ""))
            if found is not None:
                left.append(found)
    return False


ALL = _functions()
_GROUPED = {
    _imports(module).get(name, f"{module}.{name}")
    for module in ALL
    for name in _group_writers(module)
}
WRITERS = {
    one.name: one
    for functions in ALL.values()
    for one in functions
    if _opens_a_write(one) or one.name in _GROUPED
}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_write_notes_who_did_what(name: str) -> None:
    is_noted = _reaches(WRITERS[name], "audit.note", ALL)
    assert is_noted != (name in UNTOLD), f"{name} " + (
        "is noted, and stands in UNTOLD" if is_noted else "notes nothing"
    )


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, one in WRITERS.items()
        if "principal" in one.parameters or one.name in _GROUPED
    ),
)
def test_every_write_of_a_caller_asks_whether_they_may(name: str) -> None:
    asks = _reaches(WRITERS[name], "principal.require", ALL)
    assert asks != (name in FREE), f"{name} " + (
        "asks, and stands in FREE" if asks else "asks for no permission"
    )


def test_what_is_excused_is_a_write() -> None:
    assert {*UNTOLD, *FREE} <= WRITERS.keys()


def test_the_writes_are_found() -> None:
    """Some that are known: a test that finds nothing would pass."""
    known = {
        "analyses.Analyses.ask",
        "datasets.Datasets.create",
        "external_analyses.write_told",
        "removal.Removal.delete_dataset",
        "webhooks.webhooks.Webhooks.change",
    }
    assert known - WRITERS.keys() == set()
    assert len(WRITERS) > 80
