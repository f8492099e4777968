"""A webhook tells what the person or key that answers for it may read, and no longer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.known_keys import KNOWN_SECONDS
from opsin.core.role_grants import Holder
from opsin.core.roles import Role
from opsin.core.webhooks.keepers import Keepers
from opsin.core.webhooks.records import Webhook
from opsin.core.webhooks.sender import Sender
from opsin.core.webhooks.webhooks import NewWebhook, WebhookChanges
from opsin.storage.audit import audit_entries
from opsin.storage.tables import events
from tests.core.webhooks.conftest import KIND, Office
from tests.core.webhooks.receiving import NO_CONTENT, status
from tests.graphql.statements import statements_of

BEN, PASSWORD = "ben@example.org", "correct horse"

ENDED = "the key that it was made or last changed with has ended"
OFF = "the account of whoever made or last changed it is switched off"
LEFT = "whoever made or last changed it has left the company"
LESS = "whoever made or last changed it may no longer read what it tells of"


@dataclass
class Scene:
    """A company with a dataset, Ben who is a member of it, and a sender whose clock stands."""

    office: Office
    dataset_id: str
    ben_id: str
    seconds: float = 0.0
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def company(self) -> str:
        return self.office.principal.company_id

    @property
    def holder(self) -> Holder:
        return Holder(self.ben_id)

    def sender(self) -> Sender:
        use_cases = self.office.parts.use_cases
        keepers = Keepers(
            use_cases.database,
            use_cases.access.reach,
            clock=lambda: self.seconds,
            now=lambda: self.now,
        )
        return self.office.sender(keepers=keepers)

    async def ben(self) -> Principal:
        """Signed in, and acting for the company."""
        use_cases = self.office.parts.use_cases
        signed_in = await use_cases.sessions.login(BEN, PASSWORD)
        caller = await use_cases.access.authenticate(signed_in.access_token)
        return await use_cases.access.principal_in(caller, self.company)

    async def key_of(self, maker: Principal, expires_at: datetime | None = None) -> Principal:
        """Who comes with a new key that this caller has made."""
        use_cases = self.office.parts.use_cases
        _, text = await use_cases.api_keys.create(maker, "a key", expires_at=expires_at)
        return await use_cases.access.authenticate(text)

    async def hook(self, maker: Principal, dataset_id: str | None = None) -> Webhook:
        new = NewWebhook(self.office.receiver.url(), [KIND], dataset_id=dataset_id)
        return (await self.office.webhooks.create(maker, new))[0]

    async def tell(self) -> None:
        await self.office.tell(dataset_id=self.dataset_id)


@pytest.fixture
async def scene(office: Office) -> AsyncIterator[Scene]:
    use_cases = office.parts.use_cases
    ben = await use_cases.accounts.create(BEN, company="Ben's own", password=PASSWORD)
    await use_cases.memberships.add("local", BEN)
    await use_cases.accounts.create("ada@example.org", company="local")  # who stays
    dataset = await use_cases.datasets.create(office.principal, "whales")
    yield Scene(office, dataset.id, ben.id)


# How a webhook comes to be, and what ends it: each gives the webhook and a deed.
Deed = Callable[[], Awaitable[object]]
Case = Callable[[Scene], Awaitable[tuple[Webhook, Deed]]]


async def _who_leaves(scene: Scene) -> tuple[Webhook, Deed]:
    memberships = scene.office.parts.use_cases.memberships
    return await scene.hook(await scene.ben()), lambda: memberships.remove("local", BEN)


async def _whose_key_stays_behind(scene: Scene) -> tuple[Webhook, Deed]:
    memberships = scene.office.parts.use_cases.memberships
    key = await scene.key_of(await scene.ben())
    return await scene.hook(key), lambda: memberships.remove("local", BEN)


async def _who_is_demoted(scene: Scene) -> tuple[Webhook, Deed]:
    grants, by = scene.office.parts.use_cases.role_grants, scene.office.principal
    return await scene.hook(await scene.ben()), lambda: grants.set_role(by, scene.holder, None)


async def _whose_dataset_role_ends(scene: Scene) -> tuple[Webhook, Deed]:
    grants, by = scene.office.parts.use_cases.role_grants, scene.office.principal
    await grants.grant(by, scene.dataset_id, scene.holder, Role.ADMIN)
    await grants.set_role(by, scene.holder, None)
    webhook = await scene.hook(await scene.ben(), scene.dataset_id)
    return webhook, lambda: grants.revoke(by, scene.dataset_id, scene.holder)


async def _who_is_switched_off(scene: Scene) -> tuple[Webhook, Deed]:
    accounts = scene.office.parts.use_cases.accounts
    return await scene.hook(await scene.ben()), lambda: accounts.set_active(scene.ben_id, False)


async def _whose_link_ends(scene: Scene) -> tuple[Webhook, Deed]:
    """Ben reaches the company by a link only."""
    use_cases = scene.office.parts.use_cases
    await use_cases.memberships.remove("local", BEN)
    await use_cases.companies.link("Ben's own", "local")
    webhook = await scene.hook(await scene.ben())
    return webhook, lambda: use_cases.companies.unlink("Ben's own", "local")


async def _a_key_that_is_revoked(scene: Scene) -> tuple[Webhook, Deed]:
    keys, by = scene.office.parts.use_cases.api_keys, scene.office.principal
    key = await scene.key_of(by)
    return await scene.hook(key), lambda: keys.revoke(by, key.key_id or "")


async def _a_key_that_expires(scene: Scene) -> tuple[Webhook, Deed]:
    until = scene.now + timedelta(days=1)
    key = await scene.key_of(scene.office.principal, until)

    async def wait() -> None:
        scene.now = until

    return await scene.hook(key), wait


async def _a_key_that_is_demoted(scene: Scene) -> tuple[Webhook, Deed]:
    grants, by = scene.office.parts.use_cases.role_grants, scene.office.principal
    key = await scene.key_of(by)
    return await scene.hook(key), lambda: grants.set_role(by, Holder(key_id=key.key_id), None)


CASES = [
    (_who_leaves, LEFT),
    (_whose_key_stays_behind, LEFT),
    (_who_is_demoted, LESS),
    (_whose_dataset_role_ends, LESS),
    (_who_is_switched_off, OFF),
    (_whose_link_ends, LEFT),
    (_a_key_that_is_revoked, ENDED),
    (_a_key_that_expires, ENDED),
    (_a_key_that_is_demoted, LESS),
]


@pytest.mark.parametrize(("case", "reason"), CASES, ids=[case.__name__[1:] for case, _ in CASES])
async def test_it_ends_with_what_its_keeper_may_read(scene: Scene, case: Case, reason: str) -> None:
    office = scene.office
    webhook, deed = await case(scene)
    async with office.sending(scene.sender()):
        await scene.tell()
        await office.receiver.gets(1)
        await deed()
        scene.seconds += KNOWN_SECONDS
        await scene.tell()
        silent = await office.until_webhook(webhook, lambda found: not found.active)
        assert silent.paused_reason == reason
        assert len(office.receiver.received) == 1
        # Somebody who may read it takes it over, and misses nothing.
        taken = WebhookChanges(active=True)
        changed = await office.webhooks.change(office.principal, webhook.id, taken)
        assert (changed.account_id, changed.key_id) == (None, None)
        received = await office.receiver.gets(2)
    assert received[0].cursor < received[1].cursor
    async with office.parts.use_cases.database.read() as connection:
        told = select(events.c.data).where(events.c.kind == "webhook.paused")
        assert (await connection.execute(told)).scalar_one()["reason"] == reason
        line = select(audit_entries).where(audit_entries.c.action == "webhook.pause")
        noted = (await connection.execute(line)).one()
    assert (noted.actor_kind, noted.actor_name) == ("opsin", "webhooks")
    assert (noted.subject_id, noted.details) == (webhook.id, {"reason": reason})


async def test_whoever_may_still_read_is_told(scene: Scene) -> None:
    """A session that is over, and a role that only lets read."""
    office, use_cases = scene.office, scene.office.parts.use_cases
    ben = await scene.ben()
    webhook = await scene.hook(ben)
    assert (webhook.account_id, webhook.key_id) == (scene.ben_id, None)
    await use_cases.role_grants.set_role(office.principal, scene.holder, Role.VIEWER)
    await use_cases.sessions.logout(ben)
    async with office.sending(scene.sender()):
        await scene.tell()
        await office.receiver.gets(1)
    assert (await office.webhooks.get(office.principal, webhook.id)).active


async def test_a_delivery_that_is_tried_again_is_held_back_too(scene: Scene) -> None:
    office, use_cases = scene.office, scene.office.parts.use_cases
    office.receiver.answers(status("503 Busy", "retry-after: 1"), NO_CONTENT)
    key = await scene.key_of(office.principal)
    webhook = await scene.hook(key)
    async with office.sending(scene.sender()):
        await scene.tell()
        await office.until(webhook, lambda found: len(found) == 1)
        await use_cases.api_keys.revoke(office.principal, key.key_id or "")
        scene.seconds += KNOWN_SECONDS
        silent = await office.until_webhook(webhook, lambda found: not found.active)
    assert silent.paused_reason == ENDED
    assert len(office.receiver.received) == 1


async def test_the_listing_says_so_also_where_nothing_happens(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsin.core.webhooks.sender._CHECK_SECONDS", 0.0)
    office, use_cases = scene.office, scene.office.parts.use_cases
    webhook = await scene.hook(await scene.ben())
    sender = scene.sender()
    async with office.sending(sender):
        await use_cases.memberships.remove("local", BEN)
        silent = await office.until_webhook(webhook, lambda found: not found.active)
        await office.until_gone(sender, webhook)
    assert silent.paused_reason == LEFT
    assert office.receiver.received == []


async def test_deliveries_cost_no_question_each(scene: Scene) -> None:
    office = scene.office
    await scene.hook(await scene.key_of(await scene.ben()))
    with statements_of("api_keys") as keys, statements_of("accounts") as accounts:
        async with office.sending(scene.sender()):
            await office.tell(40)
            await office.receiver.gets(40)
    assert len(keys) == 1
    assert len([one for one in accounts if one.startswith("SELECT accounts.is_active")]) == 1
