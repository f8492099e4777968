"""The houses whose answers are compared, shared by all tests of a module."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, tzinfo

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, settings

from opsin.graphql import signed_links
from opsin.settings import Settings
from tests.conftest import postgres_database
from tests.graphql.differential.houses import House, all_rows, house
from tests.graphql.differential.pools import Pools
from tests.graphql.differential.rows import TENANTS

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
# `pytest tests/graphql/differential --hypothesis-profile=long` looks at other documents each time.
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=_SLOW)


def bounded(examples: int) -> settings:
    """The same documents every time, unless the `long` profile is chosen."""
    if settings.get_current_profile_name() == "long":
        return settings.get_profile("long")
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=_SLOW,
        # Making a failing document smaller takes minutes; the long profile does it.
        phases=[Phase.generate],
    )


class _Stopped(datetime):
    """A clock at which every link that is signed is the same."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Stopped":
        return cls(2026, 1, 31, 12, tzinfo=tz or UTC)


@pytest.fixture(autouse=True, scope="module")
def stopped_clock() -> Iterator[None]:
    """No hour begins between two answers that are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signed_links, "datetime", _Stopped)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def houses(module_settings: Settings, postgres: str) -> AsyncIterator[dict[str, House]]:
    """Houses with the same rows of two companies, by their kind of database."""
    async with (
        postgres_database(postgres) as url,
        house(module_settings, "SQLite") as small,
        house(module_settings, "PostgreSQL", url) as large,
    ):
        yield {one.name: one for one in (small, large)}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["SQLite", "PostgreSQL"])
async def loose_house(
    request: pytest.FixtureRequest, module_settings: Settings
) -> AsyncIterator[House]:
    """A house on each kind of database, whose columns take any value."""
    if request.param == "SQLite":
        async with house(module_settings, "SQLite", is_loose=True) as one:
            yield one
        return
    async with (
        postgres_database(request.getfixturevalue("postgres")) as url,
        house(module_settings, "PostgreSQL", url, is_loose=True) as one,
    ):
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools(houses: dict[str, House]) -> Pools:
    """Values for arguments: ids and texts of both companies, and their cursors."""
    one, other = houses.values()
    cursors = await one.cursors()
    assert cursors == await other.cursors()
    host = one.parts.use_cases.host
    return Pools([all_rows(tenant, host) for tenant in TENANTS], cursors)
