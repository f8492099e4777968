"""Who acts: a caller, and what they may do in the company that they act for."""

from dataclasses import dataclass

from opsin.core.errors import Forbidden
from opsin.core.roles import ALL_RIGHTS, Permission, Rights


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: the company whose rows they reach, and who they are in it."""

    company_id: str
    name: str
    key_id: str | None = None
    account_id: str | None = None
    reaches_all: bool = False
    """Whether they may act for every company that their account reaches."""
    rights: Rights = ALL_RIGHTS
    """What they may do in that company."""
    came_as: str | None = None
    """How they came in, where that tells more than their ids: see `kind`."""

    @property
    def kind(self) -> str:
        """What they are: an `account`, a company's `key`, or `opsin` itself.

        Or as they came in: a `session`, by a `proxy` that vouches for them, by a signed `link`, by
        a `signature` alone, by a door that is `open` to everybody, the `dev` mode's local user, the
        `operator` at the command line.
        """
        if self.came_as is not None:
            return self.came_as
        if self.account_id is not None:
            return "account"
        return "key" if self.key_id is not None else "opsin"

    @property
    def identity(self) -> str:
        """The id of whoever calls: of the account, else of the key, else of the company."""
        return self.account_id or self.key_id or self.company_id

    def may(self, permission: Permission, dataset_id: str | None = None) -> bool:
        """In that dataset; without one, in the company as a whole."""
        return self.rights.allow(permission, dataset_id)

    def require(self, permission: Permission, dataset_id: str | None = None) -> None:
        """Raises Forbidden unless the caller may; ask of rows that were read within their reach."""
        if not self.may(permission, dataset_id):
            where = "in the whole company" if dataset_id is None else "in this dataset"
            raise Forbidden(f"You need the permission to {permission.value} {where}")
