"""The use cases of people and companies on the database, without plugins and engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsin.core.access import Access
    from opsin.core.accounts import Accounts
    from opsin.core.api_keys import ApiKeys
    from opsin.core.companies import Companies
    from opsin.core.memberships import Memberships
    from opsin.core.role_grants import RoleGrants
    from opsin.settings import Settings


@dataclass(frozen=True, slots=True)
class People:
    """What the commands about people and companies act on."""

    access: "Access"
    accounts: "Accounts"
    companies: "Companies"
    grants: "RoleGrants"
    keys: "ApiKeys"
    memberships: "Memberships"


@asynccontextmanager
async def opened(settings: "Settings") -> AsyncIterator[People]:
    """The use cases on the database, which is migrated first."""
    from opsin.core.access import Access
    from opsin.core.accounts import Accounts
    from opsin.core.api_keys import ApiKeys
    from opsin.core.companies import Companies
    from opsin.core.memberships import Memberships
    from opsin.core.passwords import Passwords
    from opsin.core.role_grants import RoleGrants
    from opsin.storage.database import Database
    from opsin.storage.schema import upgrade

    await upgrade(settings.resolved_database_url)
    database, passwords = Database(settings.resolved_database_url), Passwords()
    access = Access(database, mode=settings.auth)
    accounts = Accounts(database, access, passwords)
    try:
        yield People(
            access,
            accounts,
            Companies(database, access),
            RoleGrants(database, access),
            ApiKeys(database, access),
            Memberships(database, access, accounts),
        )
    finally:
        await passwords.close()
        await database.close()
