"""Who may do what: permissions and roles, the people of a company, its keys, giving and taking."""

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Self

import strawberry

from opsin.core.records import ApiKey as ApiKeyRecord
from opsin.core.role_grants import DatasetRole as CoreDatasetRole
from opsin.core.role_grants import Holder
from opsin.core.role_grants import Member as CoreMember
from opsin.core.roles import Permission, Role
from opsin.graphql.context import Info
from opsin.graphql.nodes import Shown

strawberry.enum(Permission, description="One kind of thing that may be allowed.")
strawberry.enum(Role, description="A named bundle of permissions.")


@strawberry.type(description="What may be done in one dataset.")
class DatasetRole:
    dataset_id: strawberry.ID
    role: Role

    @classmethod
    def of(cls, given: CoreDatasetRole) -> Self:
        return cls(dataset_id=strawberry.ID(given.dataset_id), role=given.role)


@strawberry.type(description="A person who is in the company.")
class Member:
    account_id: strawberry.ID
    email: str
    full_name: str
    is_active: bool = strawberry.field(description="Whether they are let in.")
    role: Role | None = strawberry.field(
        description="In the whole company; null: only what they may do in single datasets."
    )
    dataset_roles: list[DatasetRole] = strawberry.field(
        description="What they may do in single datasets, beside that."
    )

    @classmethod
    def of(cls, member: CoreMember) -> Self:
        return cls(
            account_id=strawberry.ID(member.account_id),
            email=member.email,
            full_name=member.full_name,
            is_active=member.is_active,
            role=member.role,
            dataset_roles=[DatasetRole.of(one) for one in member.datasets],
        )


@strawberry.type(description="An API key, without its secret.")
class ApiKey(Shown):
    id: strawberry.ID
    name: str
    prefix: str = strawberry.field(description="How the key begins, after `opsin_`.")
    created_at: datetime
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    revoked_at: datetime | None
    expires_at: datetime | None = strawberry.field(description="Null: never.")
    record: strawberry.Private[ApiKeyRecord]
    known: strawberry.Private[Sequence[CoreDatasetRole] | None] = field(default=None, init=False)

    @classmethod
    def with_datasets(cls, record: ApiKeyRecord, datasets: Sequence[CoreDatasetRole]) -> Self:
        made = cls.of(record)
        made.known = datasets
        return made

    @strawberry.field(
        description="In the whole company; null: only what it may do in single datasets."
    )
    def role(self) -> Role | None:
        return None if self.record.role is None else Role(self.record.role)

    @strawberry.field(description="What it may do in single datasets, beside that.")
    async def dataset_roles(self, info: Info) -> list[DatasetRole]:
        known = self.known
        if known is None:
            grants, principal = info.context.use_cases.role_grants, info.context.principal
            known = (await grants.of_keys(principal)).get(self.record.id, ())
        return [DatasetRole.of(one) for one in known]


@strawberry.input(description="Exactly one of an account and a key.")
class SetRoleInput:
    account_id: strawberry.ID | None = None
    key_id: strawberry.ID | None = None
    role: Role | None = strawberry.field(
        description="Null: only what it may do in single datasets."
    )


@strawberry.input(description="Exactly one of an account and a key.")
class GrantDatasetRoleInput:
    dataset_id: strawberry.ID
    role: Role
    account_id: strawberry.ID | None = None
    key_id: strawberry.ID | None = None


@strawberry.input(description="Exactly one of an account and a key.")
class RevokeDatasetRoleInput:
    dataset_id: strawberry.ID
    account_id: strawberry.ID | None = None
    key_id: strawberry.ID | None = None


@strawberry.type
class SetRolePayload:
    account_id: strawberry.ID | None
    key_id: strawberry.ID | None
    role: Role | None


@strawberry.type
class GrantDatasetRolePayload:
    account_id: strawberry.ID | None
    key_id: strawberry.ID | None
    dataset_role: DatasetRole


@strawberry.type
class RevokeDatasetRolePayload:
    dataset_id: strawberry.ID
    was_given: bool = strawberry.field(description="Whether there was such a role.")


async def permissions_of(info: Info, dataset_id: strawberry.ID | None) -> list[Permission]:
    """What the caller may do, in the order of the enum; nothing in a dataset they do not see."""
    principal = info.context.principal
    if dataset_id is not None:
        found = await info.context.use_cases.datasets.find(principal, dataset_id)
        if found is None:
            return []
        return [one for one in Permission if principal.may(one, found.id)]
    return [one for one in Permission if principal.may(one)]


@strawberry.type
class RoleQuery:
    @strawberry.field(
        description="The company's people, by e-mail address; none for who does not read all of it."
    )
    async def members(self, info: Info) -> list[Member]:
        found = await info.context.use_cases.role_grants.members(info.context.principal)
        return [Member.of(one) for one in found]


@strawberry.type
class RoleMutation:
    @strawberry.mutation(
        description="What somebody may do in the whole company, for administrators of it."
    )
    async def set_role(self, info: Info, input: SetRoleInput) -> SetRolePayload:
        holder = Holder(input.account_id, input.key_id)
        await info.context.use_cases.role_grants.set_role(
            info.context.principal, holder, input.role
        )
        return SetRolePayload(account_id=input.account_id, key_id=input.key_id, role=input.role)

    @strawberry.mutation(
        description="What somebody may do in one dataset, for administrators of it."
    )
    async def grant_dataset_role(
        self, info: Info, input: GrantDatasetRoleInput
    ) -> GrantDatasetRolePayload:
        given = await info.context.use_cases.role_grants.grant(
            info.context.principal,
            input.dataset_id,
            Holder(input.account_id, input.key_id),
            input.role,
        )
        return GrantDatasetRolePayload(
            account_id=input.account_id, key_id=input.key_id, dataset_role=DatasetRole.of(given)
        )

    @strawberry.mutation(description="End what somebody was given in one dataset.")
    async def revoke_dataset_role(
        self, info: Info, input: RevokeDatasetRoleInput
    ) -> RevokeDatasetRolePayload:
        was_given = await info.context.use_cases.role_grants.revoke(
            info.context.principal, input.dataset_id, Holder(input.account_id, input.key_id)
        )
        return RevokeDatasetRolePayload(dataset_id=input.dataset_id, was_given=was_given)
