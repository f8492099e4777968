"""Every table that a caller can reach says how its rows lead to a dataset, or that none does."""

import pytest
from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite

from opsin.core.access import Principal
from opsin.core.roles import ALL_RIGHTS, Permission, Rights, Role, rights_of
from opsin.core.scope import NAMES, WAYS, sees, within, within_any
from opsin.storage import applications, audit, curation, predictions, schema, webhooks
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, annotations, datasets, images, metadata

assert applications and audit and curation and predictions and schema and webhooks  # all tables

OF_THE_COMPANY = {
    "accounts",
    "api_keys",
    "audit_entries",
    "classifiers",
    "collection_members",
    "collections",
    "company_links",
    "drift_windows",
    "memberships",
    "predictions",
    "signed_answers",
}
"""Whose rows are of no dataset: who reads single datasets only sees none of them."""
COMPANY, ONE, TWO, OTHER = (new_id() for _ in range(4))
WHOLE = Principal(COMPANY, "everybody")
DIALECTS = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's


def narrow(*seen: str, company_id: str = COMPANY) -> Principal:
    return Principal(
        company_id, "somebody", rights=rights_of(frozenset(), [(one, "viewer") for one in seen])
    )


def reached() -> list[Table]:
    return [table for table in metadata.tables.values() if "company_id" in table.c]


def test_every_table_is_one_or_the_other() -> None:
    names = {table.name for table in reached()}
    assert names == set(WAYS) | OF_THE_COMPANY | NAMES
    assert not set(WAYS) & (OF_THE_COMPANY | NAMES)
    for name, way in WAYS.items():
        table = metadata.tables[name]
        target = way.through.c.id if way.through is not None else datasets.c.id
        keys = [key.column for key in table.c[way.column].foreign_keys]
        # The log and what outlives its rows have no foreign keys.
        assert keys in ([target], []) or way.column == "id"


@pytest.mark.parametrize("table", reached(), ids=lambda table: str(table.name))
def test_whoever_reads_all_has_the_condition_of_always(table: Table) -> None:
    for dialect in DIALECTS:
        before = select(table).where(table.c.company_id == COMPANY).compile(dialect=dialect)
        now = select(table).where(within(WHOLE, table)).compile(dialect=dialect)
        assert (str(now), now.params) == (str(before), before.params)
        many = select(table).where(table.c.company_id.in_({COMPANY})).compile(dialect=dialect)
        now = select(table).where(within_any([WHOLE, WHOLE], table)).compile(dialect=dialect)
        assert str(now) == str(many)


@pytest.mark.parametrize("table", reached(), ids=lambda table: str(table.name))
def test_whoever_reads_some_is_limited_in_every_table(table: Table) -> None:
    for one in (table, table.alias()):
        text = str(select(one.c.company_id).where(within(narrow(ONE), one)))
        if table.name in NAMES:
            assert text == str(select(one.c.company_id).where(within(WHOLE, one)))
        elif table.name in OF_THE_COMPANY:
            assert text.endswith("AND false") or "AND 0 = 1" in text or "false" in text
        else:
            assert " IN (" in text
        # Who sees nothing asks for no row, also not of an empty list.
        nothing = str(select(one.c.company_id).where(within(narrow(), one)))
        assert table.name in NAMES or "false" in nothing or "0 = 1" in nothing


def test_who_sees_what() -> None:
    assert sees(WHOLE, COMPANY, ONE) and sees(WHOLE, COMPANY, None)
    assert not sees(WHOLE, OTHER, ONE)
    some = narrow(ONE, TWO)
    assert sees(some, COMPANY, ONE) and sees(some, COMPANY, TWO)
    assert not sees(some, COMPANY, OTHER)
    assert not sees(some, COMPANY, None) and not sees(some, OTHER, ONE)


def test_many_callers_at_once() -> None:
    text = str(
        select(images.c.id).where(within_any([WHOLE, narrow(ONE, company_id=OTHER)], images))
    )
    assert " OR " in text and "dataset_id IN" in text
    # Annotations lead to their dataset by their analysis, which must be the caller's as well.
    text = str(select(annotations.c.id).where(within(narrow(ONE), annotations)))
    assert text.count("company_id =") == 2 and analyses.name in text


def test_rights_are_put_together() -> None:
    admin = Role.ADMIN.permissions
    assert rights_of(admin, [(ONE, "viewer")]) is ALL_RIGHTS
    viewer = rights_of(Role.VIEWER.permissions, [(ONE, "viewer"), (TWO, "annotator")])
    assert viewer.readable is None
    assert set(viewer.datasets) == {TWO}  # what one has anyway is not said again
    assert viewer.allow(Permission.ANNOTATE, TWO) and not viewer.allow(Permission.ANNOTATE, ONE)
    some = rights_of(frozenset(), [(TWO, "admin"), (ONE, "viewer"), (OTHER, "a role of tomorrow")])
    assert some.readable == tuple(sorted((ONE, TWO)))
    assert not some.allow(Permission.READ) and not some.allow(Permission.READ, OTHER)
    # A key and its account: what both allow.
    both = viewer.limited_by(some)
    assert both.readable == tuple(sorted((ONE, TWO)))
    assert both.allow(Permission.ANNOTATE, TWO) and not both.allow(Permission.ADMIN, TWO)
    assert ALL_RIGHTS.limited_by(some) is some and some.limited_by(ALL_RIGHTS) is some
    assert Rights().limited_by(some).readable == ()
