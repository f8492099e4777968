"""The files of `deploy/`, read as the tools that take them read them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def compose() -> dict[str, Any]:
    """The compose file, its anchors and merges followed."""
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return document


def resources() -> list[tuple[str, dict[str, Any]]]:
    """Every document of the manifests, with the file that it is in."""
    return [
        (path.relative_to(KUBERNETES).as_posix(), document)
        for path in sorted(KUBERNETES.rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for _, document in resources() if document["kind"] == kind]


def pod_templates() -> list[tuple[str, dict[str, Any]]]:
    """What every controller makes pods of, with the controller's name."""
    return [
        (f"{document['kind']}/{document['metadata']['name']}", template)
        for _, document in resources()
        for template in _templates(document)
    ]


def _templates(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "template" and isinstance(value, dict) and "spec" in value:
                yield value
            else:
                yield from _templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from _templates(value)
