"""Webhooks can ask for whatever is written to the log."""

import ast
from pathlib import Path

import opsin
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.webhooks.kinds import KINDS
from opsin.graphql.webhooks import WebhookEventKind

_NOUNS = {kind.partition(".")[0] for kind in KINDS}


def test_every_kind_of_event_can_be_asked_for() -> None:
    """Kinds are written out where they are told of, but for those of the analysis's life."""
    written = {f"analysis.{status.lower()}" for status in AnalysisStatus} | {"analysis.progress"}
    for path in (Path(opsin.__file__).parent / "core").rglob("*.py"):
        if path.parent.name == "webhooks" and path.name == "kinds.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and not _is_note(node):
                written |= {
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant)
                    and isinstance(argument.value, str)
                    and _is_kind(argument.value)
                }
    assert written == set(KINDS)


def _is_note(node: ast.Call) -> bool:
    """Whether it is the audit that is told: its actions look like kinds."""
    return ast.unparse(node.func).rpartition(".")[2].lstrip("_").startswith("note")


def _is_kind(text: str) -> bool:
    noun, dot, rest = text.partition(".")
    return bool(dot) and noun in _NOUNS and rest.isidentifier() and rest[0] != "_"


def test_graphql_has_every_kind() -> None:
    assert [kind.value for kind in WebhookEventKind] == list(KINDS)
    assert [kind.name for kind in WebhookEventKind] == [
        kind.replace(".", "_").upper() for kind in KINDS
    ]
