"""One operation from two: of two APIs that have the same path and method."""

from collections.abc import Mapping
from typing import Any

Part = Mapping[str, Any]


def merge_operations(one: Part, other: Part) -> dict[str, Any]:
    """What either takes and answers; who may call it is said by both, so any way of either."""
    merged: dict[str, Any] = {
        **one,
        "summary": _both(one, other, "summary"),
        "description": _both(one, other, "description"),
        "tags": [*one.get("tags", ()), *other.get("tags", ())],
        "parameters": _parameters(one, other),
        "responses": _responses(one.get("responses", {}), other.get("responses", {})),
    }
    bodies = [part["requestBody"] for part in (one, other) if "requestBody" in part]
    if bodies:
        content = {kind: form for body in bodies for kind, form in body["content"].items()}
        is_required = len(bodies) == 2 and all(body.get("required") for body in bodies)
        merged["requestBody"] = {"required": is_required, "content": content}
    ways = [part["security"] for part in (one, other) if part.get("security")]
    if len(ways) == 2:
        merged["security"] = [way for those in ways for way in those]
    else:
        merged.pop("security", None)
    return merged


def _both(one: Part, other: Part, name: str) -> str:
    texts = dict.fromkeys(text for part in (one, other) if (text := part.get(name)))
    return "; or: ".join(texts)


def _parameters(one: Part, other: Part) -> list[Any]:
    """Those of both; what only one of them wants, the other does without."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in (one, other):
        for parameter in part.get("parameters", ()):
            found.setdefault((parameter["in"], parameter["name"]), dict(parameter))
    for (place, _), parameter in found.items():
        if place != "path":
            parameter["required"] = False
    return list(found.values())


def _responses(one: Part, other: Part) -> dict[str, Any]:
    merged: dict[str, Any] = {status: dict(answer) for status, answer in one.items()}
    for status, answer in other.items():
        if status not in merged:
            merged[status] = dict(answer)
            continue
        there = merged[status]
        there["description"] = _both(there, answer, "description")
        there["headers"] = {**there.get("headers", {}), **answer.get("headers", {})}
        there["content"] = _contents(there.get("content", {}), answer.get("content", {}))
    return dict(sorted(merged.items()))


def _contents(one: Part, other: Part) -> dict[str, Any]:
    merged = {kind: dict(form) for kind, form in one.items()}
    for kind, form in other.items():
        if kind not in merged:
            merged[kind] = dict(form)
        elif merged[kind].get("schema") != form.get("schema"):
            merged[kind] = {"schema": {"anyOf": [merged[kind].get("schema", {}), form["schema"]]}}
    return merged
