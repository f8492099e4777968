"""The small CLIP, for all tests that only read it."""

from pathlib import Path

import pytest

from tests.plugins.published import clip_folder


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("small-clip"))
