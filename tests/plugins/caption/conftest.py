"""One small model of each family, for all tests of a module."""

from pathlib import Path

import pytest

from tests.plugins.caption.models import blip_folder, git_folder, llava_folder, vit_gpt2_folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blip_folder(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return git_folder(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def vit_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vit_gpt2_folder(tmp_path_factory.mktemp("vit-gpt2"), num_beams=4, max_length=16)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llava_folder(tmp_path_factory.mktemp("llava"))
