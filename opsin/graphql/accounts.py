"""People as GraphQL knows them: who is calling, signing in and out, private tokens."""

from datetime import datetime
from typing import Self

import strawberry

from opsin.core.accounts import Account as CoreAccount
from opsin.core.records import ApiKey as ApiKeyRecord
from opsin.core.sessions import SignedIn as CoreSignedIn
from opsin.graphql.context import Context, Info
from opsin.graphql.nodes import Shown

MOST_TOKENS = 1000
"""Of one account, in its list."""


@strawberry.type(description="A person.")
class Account(Shown):
    id: strawberry.ID
    number: int = strawberry.field(description="For callers who know people by a number.")
    email: str
    full_name: str


@strawberry.type(description="A company whose data the caller reaches.")
class ReachedCompany:
    id: strawberry.ID = strawberry.field(
        description="In the header `X-Company-Id`: act for this company."
    )
    name: str
    is_current: bool = strawberry.field(description="Whether the caller acts for it now.")


@strawberry.type(description="A private token, without its secret.")
class PrivateToken:
    number: int
    name: str
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    expires_at: datetime | None

    @classmethod
    def of(cls, record: ApiKeyRecord) -> Self:
        assert record.number is not None, "private tokens have one"
        return cls(
            number=record.number,
            name=record.name,
            created_at=record.created_at,
            last_used_at=record.last_used_at,
            expires_at=record.expires_at,
        )


@strawberry.type(description="The only time the token is shown.")
class CreatePrivateTokenPayload:
    private_token: PrivateToken
    token: str


@strawberry.type
class DeletePrivateTokenPayload:
    deleted_number: int


@strawberry.type(description="What somebody who has signed in shows from then on.")
class SignedIn:
    account: Account
    access_token: str = strawberry.field(description="As `Authorization: Bearer <token>`.")
    refresh_token: str = strawberry.field(description="For `refreshSession`, once.")
    expires_at: datetime = strawberry.field(description="When the access token ends.")

    @classmethod
    def of(cls, told: CoreSignedIn) -> Self:
        return cls(
            account=Account.of(told.account),
            access_token=told.access_token,
            refresh_token=told.refresh_token,
            expires_at=told.expires_at,
        )


async def account_of(context: Context) -> CoreAccount | None:
    """The caller's account; None for a company's key, and for the local user."""
    identity = context.principal.account_id
    return None if identity is None else await context.use_cases.accounts.find(identity)


async def reached_companies(context: Context) -> list[ReachedCompany]:
    """Those that the caller may act for, by name."""
    principal = context.principal
    if principal.reaches_all and principal.account_id is not None:
        found = await context.use_cases.accounts.companies_of(principal.account_id)
    else:
        found = {principal.company_id: (await context.use_cases.access.company(principal)).name}
    return [
        ReachedCompany(
            id=strawberry.ID(identity), name=name, is_current=identity == principal.company_id
        )
        for identity, name in found.items()
    ]


async def private_tokens(context: Context) -> list[PrivateToken]:
    """Those of the caller's account, by number; none for a caller who may not have any."""
    if not context.principal.reaches_all:
        return []
    listed = context.use_cases.private_tokens.listed
    found, _ = await listed(context.principal, limit=MOST_TOKENS)
    return [PrivateToken.of(one) for one in found]


SIGNS_IN = frozenset({"login", "refreshSession"})
"""The mutations that callers without a token may ask for."""


@strawberry.type
class AccountMutation:
    @strawberry.mutation(description="Sign in; needs no key.")
    async def login(self, info: Info, email: str, password: str) -> SignedIn:
        context = info.context
        told = await context.use_cases.sessions.login(email, password, address=context.address)
        return SignedIn.of(told)

    @strawberry.mutation(
        description="A new pair of tokens for a refresh token, which works once; needs no key."
    )
    async def refresh_session(self, info: Info, refresh_token: str) -> SignedIn:
        return SignedIn.of(await info.context.use_cases.sessions.refresh(refresh_token))

    @strawberry.mutation(description="End the session that this is asked in.")
    async def logout(self, info: Info) -> Account | None:
        account = await account_of(info.context)
        await info.context.use_cases.sessions.logout(info.context.principal)
        return None if account is None else Account.of(account)

    @strawberry.mutation(
        description="A token for the caller's own programs, good for every company that the "
        "account reaches; only for those who have signed in."
    )
    async def create_private_token(
        self, info: Info, name: str, expires_at: datetime | None = None
    ) -> CreatePrivateTokenPayload:
        record, text = await info.context.use_cases.private_tokens.create(
            info.context.principal, name, expires_at
        )
        return CreatePrivateTokenPayload(private_token=PrivateToken.of(record), token=text)

    @strawberry.mutation(description="End a private token at once.")
    async def delete_private_token(self, info: Info, number: int) -> DeletePrivateTokenPayload:
        await info.context.use_cases.private_tokens.delete(info.context.principal, number)
        return DeletePrivateTokenPayload(deleted_number=number)
