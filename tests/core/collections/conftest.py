"""A house whose operations embed: on a database of each kind."""

from collections.abc import AsyncIterator

import pytest

from opsin.assembly import Parts
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.core.labelled import ColorEmbedding, labelled_house


@pytest.fixture
def color() -> ColorEmbedding:
    return ColorEmbedding()


@pytest.fixture
async def parts(
    settings: Settings, any_database_url: str, color: ColorEmbedding
) -> AsyncIterator[Parts]:
    """`embed_color` is `color`; `embed_other` has other weights, and `fake` embeds nothing."""
    other = ColorEmbedding("embed_other", fingerprint="d" * 64)
    async with labelled_house(
        settings, color, other, FakeOperation(), database_url=any_database_url
    ) as parts:
        yield parts
