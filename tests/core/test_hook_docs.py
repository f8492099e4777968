"""The page for plugin authors: every hook with its exact signature, and code that is real."""

import ast
import inspect
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opsin.core import contract, hookspecs
from opsin.core.plugin_host.checks import checked_operation
from opsin.core.testing import run_operation
from opsin.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")


def signatures() -> list[str]:
    """The `def` line of every hook, as written in hookspecs.py."""
    tree = ast.parse(inspect.getsource(hookspecs))
    return [
        f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}:"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    ]


def test_there_are_hooks() -> None:
    assert len(signatures()) >= 2


@pytest.mark.parametrize("signature", signatures())
def test_every_hook_is_documented_with_its_exact_signature(signature: str) -> None:
    assert signature in PAGE.splitlines()


def test_the_page_shows_the_template_as_it_is() -> None:
    template = (ROOT / "plugin_template" / "opsin_brightness.py").read_text("utf-8")
    assert f"```python\n{template}```" in PAGE


def test_every_attribute_of_an_operation_is_documented() -> None:
    attributes = {
        name
        for kind in (contract.Loadable, contract.Operation)
        for name in vars(kind).get("__annotations__", {})
    }
    assert {name for name in attributes if f"| `{name}` |" not in PAGE} == set()


def test_the_example_of_inputs_and_references_works() -> None:
    (source,) = (
        code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "Belongs(" in code
    )
    names: dict[str, Any] = {}
    exec(source, names)
    (operation,) = names["opsin_operations"]()
    assert checked_operation("docs", operation) is operation
    found = [
        contract.Embedding(dimensions=2, normalized=False, model_fingerprint="f", vector=vector)
        for vector in ((1.0, 2.0), (3.0, 4.0))
    ]
    inputs = contract.Input("one"), contract.Input("two")
    coefficients = np.array([0.5, -1.0, 2.0, -1.0])
    trained = contract.Classifier("7", "d", inputs, ("f", "f"), coefficients, 0.25)
    answer = run_operation(
        operation,
        np.zeros((4, 4, 3), np.uint8),
        {"collection": "7"},
        inputs=found,
        reference=trained,
    )
    logit = 0.5 * 1 - 1 * 2 + 2 * 3 - 1 * 4 + 0.25
    assert answer.probability == pytest.approx(1 / (1 + math.exp(-logit)))


def test_every_setting_the_page_names_exists() -> None:
    named = {word.strip("`,.:;=(true)") for word in PAGE.split() if word.startswith("`OPSIN_")}
    known = {f"OPSIN_{name.upper()}" for name in Settings.model_fields}
    assert named and named <= known
