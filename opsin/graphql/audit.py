"""The audit in GraphQL: who did what, newest first."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from opsin.core import audit_log as core
from opsin.core.pages import Page, Wanted
from opsin.graphql.connections import DEFAULT_PAGE, Connection, Source, page_request
from opsin.graphql.context import Context, Info
from opsin.graphql.nodes import Shown


@strawberry.type(description="One thing that somebody did; entries are never changed.")
class AuditEntry(Shown):
    id: strawberry.ID
    action: str = strawberry.field(description="`noun.verb`, such as `dataset.delete`.")
    actor_kind: str = strawberry.field(
        description="`account`, `session`, `key`, `proxy`, `link`, `signature`, `open`, `dev`, "
        "`operator`, `stranger` or `opsin` itself."
    )
    actor_id: strawberry.ID | None = strawberry.field(
        description="Of the account, else of the key."
    )
    key_id: strawberry.ID | None = strawberry.field(
        description="The key, private token or session that was shown; an account may have several."
    )
    actor_name: str = strawberry.field(description="As it was then.")
    subject_kind: str | None = strawberry.field(
        description="What it was done to; null for several, whose ids are in `details`."
    )
    subject_id: strawberry.ID | None
    dataset_id: strawberry.ID | None
    details: JSON
    request_id: str | None = strawberry.field(description="As `X-Request-ID` told the caller.")
    created_at: datetime


@strawberry.input(description="What is not given is not asked for.")
class AuditFilterInput:
    actor: str | None = strawberry.field(
        default=None, description="The id of an account or a key, or a whole name."
    )
    key: strawberry.ID | None = strawberry.field(
        default=None, description="The key, private token or session that was shown."
    )
    action: list[str] | None = strawberry.field(default=None, description="One of these.")
    subject: strawberry.ID | None = strawberry.field(
        default=None, description="What it was done to."
    )
    dataset: strawberry.ID | None = strawberry.field(
        default=None, description="What happened in it; its own administrators may ask for that."
    )
    since: datetime | None = None
    until: datetime | None = strawberry.field(default=None, description="Before this moment.")

    def wanted(self) -> core.AuditFilter:
        return core.AuditFilter(
            actor=self.actor,
            key=self.key,
            action=None if self.action is None else tuple(self.action),
            subject=self.subject,
            dataset_id=self.dataset,
            since=self.since,
            until=self.until,
        )


class _Entries(Source):
    """A page of the audit, which its own use case reads: it asks who may."""

    def __init__(self, context: Context, wanted: Wanted, filter: core.AuditFilter) -> None:
        super().__init__(context, core.LISTING, wanted)
        self._filter = filter

    async def page(self) -> Page[Any]:
        context = self._context
        log, request = context.use_cases.audit_log, self._wanted.request
        return await log.page(context.principal, self._filter, request)

    async def total(self) -> int:
        context = self._context
        return await context.use_cases.audit_log.total(context.principal, self._filter)


@strawberry.type
class AuditQuery:
    @strawberry.field(
        description="Who did what in the company, newest first; for its administrators."
    )
    async def audit_log(
        self,
        info: Info,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
        filter: AuditFilterInput | None = None,
    ) -> Connection[AuditEntry]:
        wanted = Wanted(page_request(info.context, first, after, core.NEWEST_FIRST))
        asked = (filter or AuditFilterInput()).wanted()
        return await Connection[AuditEntry].read(
            _Entries(info.context, wanted, asked), AuditEntry.of
        )
