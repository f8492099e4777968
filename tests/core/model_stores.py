"""Model stores for tests: one that pulls from a hub, and operations that need its models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import LoadContext, ModelRequirement, Operation, Repository, Result, Runner
from opsin.core.models.hub import Hub
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginInfo, RegisteredOperation
from tests.core.hub_server import COMMIT, FILES, REPOSITORY, FakeHub, serving_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    without_proxies(monkeypatch)
    with serving_hub() as serving:
        yield serving


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


def store_of(directory: Path, hub: FakeHub | None = None, token: str | None = None) -> ModelStore:
    return ModelStore(directory, hub=Hub(hub.url if hub else "http://127.0.0.1:1", token))


def tiny(
    revision: str = COMMIT, files: tuple[str, ...] = tuple(FILES), **pins: str
) -> ModelRequirement:
    """The model of the hub; `pins` by file name without its ending."""
    given = {file: pins[file.partition(".")[0]] for file in files if file.partition(".")[0] in pins}
    return ModelRequirement(
        "encoder", "tiny", Repository(REPOSITORY, revision, files, given), "MIT", 2_000_000
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Nothing(Result): ...


def operation(
    *models: ModelRequirement,
    called: str = "made",
    requires: tuple[str, ...] = (),
    extra: str | None = None,
) -> Operation[Any, Any]:
    class Made(Operation[Any, Any]):
        name = called
        version = "1"
        description = "for a test"
        result = Nothing

        def load(self, context: LoadContext) -> Runner[Any, Any]:
            raise NotImplementedError

    Made.models, Made.requires, Made.extra = models, requires, extra
    return Made()


def host_of(*operations: Operation[Any, Any]) -> PluginHost:
    info = PluginInfo("tests", None, None, "tests", False, tuple(one.name for one in operations))
    return PluginHost([info], {one.name: RegisteredOperation(info, one) for one in operations})
