"""Every fuzz target over its corpus, and over the same a little changed: always the same inputs.

Longer, and led by coverage: `python -m fuzz TARGET --seconds 600`.
"""

import time

import pytest

from fuzz.__main__ import inputs
from fuzz.all_targets import TARGETS
from fuzz.target import CORPUS

_TRIES = {"import_yolo": 60, "import_documents": 150, "import_lines": 150, "import_archives": 150}
"""Those that write files."""
_SECONDS = 10
"""For one input of some kilobytes, on a slow machine."""


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
# Old pickles write texts with escapes, which Python's own reader warns of.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_what_is_meant_comes_of_any_bytes(name: str) -> None:
    for data in inputs(name, _TRIES.get(name, 400)):
        started = time.perf_counter()
        TARGETS[name].run(data)
        assert time.perf_counter() - started < _SECONDS, data[:100]


def test_every_corpus_has_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= set(TARGETS)
