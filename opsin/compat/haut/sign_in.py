"""Signing in: with a password, again with a refresh token, and who one is."""

from datetime import UTC, datetime
from math import ceil
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from opsin.compat.haut.answers import answer, invalid
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import API
from opsin.compat.haut.tenants import companies_of
from opsin.core.accounts import Account
from opsin.core.sessions import SignedIn
from opsin.core.use_cases import UseCases


class Credentials(Body):
    username: str
    password: str = Field(repr=False)

    # A blank at either end of a password is part of it.
    model_config = Body.model_config | {"str_strip_whitespace": False}


class Refresh(Body):
    refresh_token: str = Field(min_length=1, repr=False)


class SignInRoutes:
    """`/login`, `/auth/refresh` and `/auth/profile`."""

    def __init__(self, use_cases: UseCases, _options: HautOptions, _gate: Gate) -> None:
        self._use_cases = use_cases

    def rows(self) -> list[Row]:
        return [
            *(Row(f"{API}/{path}", open={"POST": self.login}) for path in ("login", "auth/login")),
            *(
                Row(f"{API}/{path}", open={"POST": self.refresh})
                for path in ("auth/refresh", "refresh")
            ),
            Row(f"{API}/auth/profile", {"GET": self.profile}),
        ]

    async def login(self, request: Request) -> Response:
        """A new session for an e-mail address and its password."""
        sent = await body_of(request, Credentials)
        for name, value in (("username", sent.username), ("password", sent.password)):
            if not value:
                raise invalid(name, "This field may not be blank.", "blank")
        address = request.client.host if request.client else None
        signed_in = await self._use_cases.sessions.login(
            sent.username, sent.password, address=address
        )
        account = signed_in.account
        return answer(
            _user(account)
            | {"company_id": account.company_id}
            | _tokens(signed_in)
            | {"is_verified": True, "profile": _profile(account)}
        )

    async def refresh(self, request: Request) -> Response:
        """New tokens; the access token from before lives out its time."""
        sent = await body_of(request, Refresh)
        return answer(_tokens(await self._use_cases.sessions.refresh(sent.refresh_token)))

    async def profile(self, call: Call) -> Response:
        """Who the caller is, and for which companies they may act."""
        principal = call.principal
        account = None
        if principal.account_id is not None:
            account = await self._use_cases.accounts.find(principal.account_id)
        companies = await companies_of(self._use_cases, principal)
        home = {"id": principal.company_id, "name": companies.get(principal.company_id)}
        return answer(
            {
                # A key of a company is nobody's.
                "user": None
                if account is None
                else _user(account) | {"is_verified": True, "full_name": account.full_name},
                "company": home,
                "company_id": principal.company_id,
                "companies": [{"id": key, "name": name} for key, name in companies.items()],
                "profile": None if account is None else _profile(account),
            }
        )


def _user(account: Account) -> dict[str, Any]:
    return {"id": account.number, "email": account.email, "username": account.email}


def _tokens(signed_in: SignedIn) -> dict[str, Any]:
    """Some clients read the one spelling, some the other."""
    return {
        "access_token": signed_in.access_token,
        "token_access": signed_in.access_token,
        "refresh_token": signed_in.refresh_token,
        "expires_in": ceil((signed_in.expires_at - datetime.now(UTC)).total_seconds()),
    }


def _profile(account: Account) -> dict[str, Any]:
    return {
        "metadata": {},
        "full_name": account.full_name,
        # Nothing of this is asked here of anybody.
        "kyc_enabled": False,
        "terms_payment_accepted_at": None,
        "terms_and_policy_accepted_at": None,
        "feature_flags": {},
    }
