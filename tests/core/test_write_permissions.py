"""Who may write what: every deed by callers of each kind, on each kind of database."""

from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType

import pytest
from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.audit_log import AuditFilter
from opsin.core.errors import Forbidden, NotFound
from opsin.core.roles import Permission, Rights
from opsin.settings import Settings
from opsin.storage.audit import audit_entries
from tests.core.deeds import OF_COMPANY, OF_DATASET, Deed, new_world
from tests.core.labelled import labelled_house
from tests.core.test_audited_writes import FREE, WRITERS

DEEDS = OF_DATASET | OF_COMPANY
OTHERS = {
    "classifiers.classifiers.Classifiers.train": "its own tests train",
    "sessions.Sessions.logout": "of oneself",
    "role_grants": "its own tests",
}
"""Writers whose permissions are tried elsewhere."""

EVERYTHING = frozenset(Permission)
READ = frozenset({Permission.READ})


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        yield parts


def _with(principal: Principal, rights: Rights) -> Principal:
    return replace(principal, rights=rights)


def _in(
    dataset_id: str, given: frozenset[Permission]
) -> MappingProxyType[str, frozenset[Permission]]:
    return MappingProxyType({dataset_id: given})


async def _noted(parts: Parts) -> int:
    async with parts.use_cases.database.read() as connection:
        count = select(func.count()).select_from(audit_entries)
        return (await connection.execute(count)).scalar_one()


async def _done(parts: Parts, caller: Principal, owner: Principal, deed: Deed) -> None:
    """The caller does it in a new world, and it is noted as theirs."""
    world = await new_world(parts, owner)
    caller = _with(caller, _rights_in(caller, world.dataset_id, deed))
    before = await parts.use_cases.audit_log.read(AuditFilter(), limit=1)
    await deed.do(parts.use_cases, caller, world)
    since = await parts.use_cases.audit_log.read(AuditFilter(), after=before[-1].id)
    if deed.action is None:
        return
    (entry,) = since
    assert entry.action == deed.action
    assert (entry.actor_name, entry.company_id) == (caller.name, caller.company_id)
    if deed in OF_DATASET.values():
        assert entry.dataset_id == world.dataset_id


def _rights_in(caller: Principal, dataset_id: str, deed: Deed) -> Rights:
    """Only what it takes: in the dataset for what is in it."""
    needed = READ | {deed.permission}
    if deed in OF_DATASET.values():
        company = READ if caller.rights.company else frozenset[Permission]()
        return Rights(company, _in(dataset_id, needed))
    return Rights(needed)


async def test_nobody_does_it_without_the_permission(parts: Parts, principal: Principal) -> None:
    """Whoever reads the thing is told what is missing; nothing is changed, nothing is noted."""
    world = await new_world(parts, principal)
    noted = await _noted(parts)
    for name, deed in DEEDS.items():
        lacking = EVERYTHING - {deed.permission}
        for rights in (Rights(lacking), Rights(READ, _in(world.dataset_id, lacking))):
            with pytest.raises(Forbidden, match=deed.permission.value):
                await deed.do(parts.use_cases, _with(principal, rights), world)
                pytest.fail(f"{name} was done without the permission")
    assert await _noted(parts) == noted


async def test_what_is_in_other_datasets_is_not_there(parts: Parts, principal: Principal) -> None:
    """For whoever may do everything, but only elsewhere."""
    world = await new_world(parts, principal)
    elsewhere = await parts.use_cases.datasets.create(principal, "elsewhere")
    noted = await _noted(parts)
    caller = _with(principal, Rights(datasets=_in(elsewhere.id, EVERYTHING)))
    for name, deed in OF_DATASET.items():
        with pytest.raises(NotFound):
            await deed.do(parts.use_cases, caller, world)
            pytest.fail(f"{name} was done in a dataset that the caller does not see")
    for name, deed in OF_COMPANY.items():
        with pytest.raises((Forbidden, NotFound)):
            await deed.do(parts.use_cases, caller, world)
            pytest.fail(f"{name} was done by whoever administers one dataset")
    assert await _noted(parts) == noted


async def test_the_permission_is_enough(parts: Parts, principal: Principal) -> None:
    """In the company or in the one dataset, and each is noted once, as the caller's."""
    reader = _with(replace(principal, name="somebody"), Rights(READ))
    alone = _with(reader, Rights())
    for deed in OF_DATASET.values():
        await _done(parts, alone, principal, deed)
    for deed in OF_COMPANY.values():
        await _done(parts, reader, principal, deed)


def test_every_write_of_a_caller_is_tried() -> None:
    asked = {
        name
        for name, one in WRITERS.items()
        if ("principal" in one.parameters or name.startswith("external_analyses."))
        and name not in FREE
        and not any(name.startswith(other) for other in OTHERS)
    }
    assert asked - DEEDS.keys() == set()
