"""Shared by the tests of the cetacean plugin."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def two_threads() -> Iterator[None]:
    """The networks are small, and other tests want the processor's cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
