"""Plugins written for a test: their source, a fixture that makes modules of it, discovery."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsin.core.plugin_host import PluginHost, PluginSource

OPERATION = """
from opsin import Operation, Params, Result, Runner, RegionFinder, Target, TextEmbedder, hookimpl

class {result}(Result):
    value: float

class An(Operation):
    name = "{name}"
    version = "1"
    description = "gives a value"
    result = {result}
    {extra}
    def load(self, context): ...
"""
HOOK = """
@hookimpl
def opsin_operations({arguments}):
    {body}
"""
FIELDS = """
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from pydantic import BaseModel, create_model

class Color(Enum):
    RED = "red"

class _Hidden(BaseModel):
    value: float

class Deeper(BaseModel):
    value: float
    again: "Deeper | None" = None

class Deep(BaseModel):
    value: bytes

def model(base, kind):
    names = {"_Hidden": _Hidden, "Deep": Deep}
    kind = eval(kind, names) if isinstance(kind, str) else kind
    return create_model("Made", __base__=base, value=(kind, ...))
"""
EMBEDDER = """
class Embedder(TextEmbedder):
    name = "embedder"
    version = "1"
    operation = {operation}
    def load(self, context): ...

@hookimpl
def opsin_text_embedders(options):
    return [Embedder()]
"""
FINDER = """
class Finder(RegionFinder):
    name = "finder"
    version = "1"
    target = {target}
    def load(self, context): ...

@hookimpl
def opsin_region_finders(options):
    return [Finder()]
"""

Make = Callable[..., PluginSource]


def source_of(name: str, result: str | None = None, extra: str = "", body: str = "") -> str:
    result = result or name.title().replace("_", "")
    return OPERATION.format(name=name, result=result, extra=extra) + HOOK.format(
        arguments="", body=body or "return [An()]"
    )


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes a plugin's module; it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(name: str, text: str) -> PluginSource:
        module = f"made_plugin_{name}"
        (tmp_path / f"{module}.py").write_text(text)
        made.append(module)
        return PluginSource(name, module, "made-plugins", "0.3")

    yield write
    for module in made:
        sys.modules.pop(module, None)


def discover(*sources: PluginSource, **arguments: Any) -> PluginHost:
    return PluginHost.discover(sources, entry_points=False, **arguments)
