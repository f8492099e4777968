"""Who is calling: by API key, by a proxy's headers, or as the local user of dev mode."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.exceptions import HTTPException

from opsin.compat.vista.options import VistaOptions
from opsin.core.access import LOCAL_COMPANY, Access, Principal, presented_key
from opsin.core.accounts import Account, Accounts, clean_email
from opsin.core.actors import NO_COMPANY
from opsin.core.errors import Forbidden, Unauthenticated
from opsin.core.roles import Permission, Rights

ADMINISTRATORS = "admin"
"""The group whose members manage users; not those who reach it by a link."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, or an API key of none, and the companies that are open to it."""

    home: Principal
    groups: Mapping[str, str | None]
    """Companies by id; the name is None where it was not needed yet."""
    rights: Mapping[str, Rights] = field(default_factory=dict)
    """What the account may do in each of them; of an account only."""
    account: Account | None = None
    is_dev: bool = False
    is_administrator: bool = False

    @property
    def identity(self) -> str:
        """Names the caller among all of them."""
        return f"{self.home.company_id} {self.home.identity}"

    def principal(self, company_id: str) -> Principal:
        """The caller within a company; Forbidden for one that it does not reach."""
        if company_id == self.home.company_id:
            return self.home
        if company_id not in self.groups:
            raise Forbidden("Access forbidden")
        rights = self.rights.get(company_id, Rights())
        if self.home.key_id is not None and not self.home.reaches_all:
            # A key may do elsewhere what it may do in all of its own company, and no more.
            rights = Rights(self.home.rights.company).limited_by(rights)
        return replace(self.home, company_id=company_id, rights=rights)

    def principals(self) -> list[Principal]:
        """The caller within each company that is open to it."""
        return [self.principal(company_id) for company_id in self.groups]


class Callers:
    """Finds the caller of a request by its headers."""

    def __init__(self, access: Access, accounts: Accounts, options: VistaOptions) -> None:
        self._access = access
        self._accounts = accounts
        self._options = options

    async def by_key(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller behind the key in the headers; None without one."""
        token = presented_key(headers.get("authorization"), headers.get("x-api-key"))
        if token is None:
            return None
        principal = await self._access.authenticate(token)
        if principal.account_id is None:
            groups = {principal.company_id: None}
            is_dev = self._options.is_dev
            return Caller(principal, groups, is_dev=is_dev, is_administrator=is_dev)
        return await self._of_account(principal.account_id, principal)

    async def by_any(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller by key, by the proxy's headers, or in dev mode; None without credentials."""
        options = self._options
        try:
            caller = await self.by_key(headers)
        except Unauthenticated:
            # The documented client sends a key that is none, and dev mode lets everyone in anyway.
            if not options.is_dev:
                raise
            caller = None
        if caller is not None:
            return caller
        address = headers.get(options.user_header)
        if options.is_dev:
            return await self._local(clean_email(address) or options.mock_user)
        secret = headers.get(options.proxy_secret_header)
        if address is None and secret is None:
            return None
        if not options.proxy_secret:  # an empty one would fit a header that is not there
            raise HTTPException(500, "Server configuration error")
        expected = options.proxy_secret.encode()
        if not hmac.compare_digest((secret or "").encode("utf-8", "surrogatepass"), expected):
            raise Unauthenticated("Invalid proxy authentication")
        email = clean_email(address)
        if email is None:
            raise Unauthenticated(f"Missing or invalid {options.user_header} header")
        by = Principal(NO_COMPANY, email, came_as="proxy")
        return await self._of_account((await self._accounts.of_email(email, by=by)).id)

    async def _of_account(self, account_id: str, known: Principal | None = None) -> Caller:
        """An account, in all companies that it reaches; `known` is who came with a token of it."""
        account, names = await self._accounts.profile(account_id)
        if not account.is_active:
            raise Unauthenticated("This account is not active")
        reached = await self._access.reach.of(account_id)
        home = known or Principal(
            account.company_id,
            account.email,
            None,
            account.id,
            rights=reached.rights.get(account.company_id, Rights()),
            came_as="proxy",
        )
        is_dev = self._options.is_dev
        caller = Caller(
            replace(home, name=account.email), reached.all, reached.rights, account, is_dev=is_dev
        )
        managed = [one for one, name in names.items() if name == ADMINISTRATORS]
        manages = any(caller.principal(one).may(Permission.ADMIN) for one in managed)
        return replace(caller, is_administrator=is_dev or manages)

    async def _local(self, email: str) -> Caller:
        local = await self._access.local()
        account = await self._accounts.of_email(email, company=LOCAL_COMPANY, by=local)
        home = Principal(local.company_id, email, None, account.id, came_as="dev")
        groups = {local.company_id: LOCAL_COMPANY}
        return Caller(home, groups, account=account, is_dev=True, is_administrator=True)
