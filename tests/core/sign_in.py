"""The use cases of signing in on a real database, with a clock that a test sets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from opsin.core.access import Access, Principal
from opsin.core.accounts import Account, Accounts
from opsin.core.api_keys import ApiKeys
from opsin.core.companies import Companies
from opsin.core.memberships import Memberships
from opsin.core.passwords import Passwords
from opsin.core.private_tokens import PrivateTokens
from opsin.core.rate_limits import RateLimits
from opsin.core.sessions import Sessions, SignedIn
from opsin.storage.database import Database

ADA, BEN = "ada@example.org", "ben@example.org"
PASSWORD = "correct horse"


@dataclass
class Clock:
    """The time of day, and the seconds that go by with it."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def time(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class SignIn:
    """One process's use cases; several of them may share a database."""

    def __init__(self, database: Database, clock: Clock, *, attempts: int = 60) -> None:
        self.database = database
        self.clock = clock
        self.passwords = Passwords()
        self.access = Access(database, mode="keys", clock=clock.seconds, now=clock.time)
        self.accounts = Accounts(database, self.access, self.passwords, clock.seconds)
        self.api_keys = ApiKeys(database, self.access, clock.time)
        self.memberships = Memberships(database, self.access, self.accounts)
        self.companies = Companies(database, self.access)
        self.rate_limits = RateLimits(database, clock=clock.seconds)
        self.sessions = Sessions(
            database,
            self.access,
            self.passwords,
            self.rate_limits,
            attempts=attempts,
            now=clock.time,
        )
        self.private_tokens = PrivateTokens(database, self.access, clock.time)

    def elsewhere(self) -> "SignIn":
        """As another process has them: with nothing in its memory."""
        return SignIn(self.database, self.clock)

    async def person(self, email: str = ADA, company: str = "whales") -> Account:
        """An account with a password."""
        return await self.accounts.create(email, company=company, password=PASSWORD)

    async def login(self, email: str = ADA) -> SignedIn:
        return await self.sessions.login(email, PASSWORD)

    async def caller(self, email: str = ADA) -> Principal:
        """Somebody who has signed in."""
        return await self.access.authenticate((await self.login(email)).access_token)


@asynccontextmanager
async def sign_in_on(url: str) -> AsyncIterator[SignIn]:
    database = Database(url)
    try:
        yield SignIn(database, Clock())
    finally:
        await database.close()
