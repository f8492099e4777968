"""Users, their groups, and their API keys."""

from typing import Any
from uuid import UUID

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import error_answer, json_answer
from opsin.compat.vista.callers import Caller
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import key_object, user_object
from opsin.compat.vista.routing import Routes
from opsin.core.errors import Conflict, NotFound

_TOLD_ONCE = "This key was made before; its text is told once"


class UserCreate(BaseModel):
    email: str = Field(min_length=3, max_length=320)
    is_active: bool = True


class UserChange(BaseModel):
    is_active: bool | None = None


class KeyCreate(BaseModel):
    name: str = Field(min_length=1, max_length=255)


class UserRoutes:
    """`/users` and `/api-keys`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag = "users"
        routes.add("GET", "/users/me", self.me, tag=tag)
        routes.add("GET", "/users/me/groups", self.groups, tag=tag)
        routes.add("POST", "/users", self.create, status=201, tag=tag)
        routes.add("GET", "/users/{user_id}", self.read, tag=tag)
        routes.add("PATCH", "/users/{user_id}", self.change, tag=tag)
        tag = "api keys"
        routes.add("POST", "/api-keys", self.create_key, status=201, tag=tag)
        routes.add("GET", "/api-keys", self.keys, tag=tag)
        routes.add("DELETE", "/api-keys/{key_id}", self.revoke_key, status=204, tag=tag)

    async def me(self, request: Request) -> Response:
        """Whoever asks."""
        return json_answer(await self._user(self._door.caller(request)))

    async def groups(self, request: Request) -> Response:
        """Those of the caller's groups that own a project; in dev mode, what is offered too."""
        caller = self._door.caller(request)
        names = await self._door.use_cases.datasets.group_names(caller.principals())
        offered = self._door.options.mock_groups if caller.is_dev else ()
        return json_answer([*names, *(name for name in offered if name not in names)])

    async def create(self, request: Request, body: UserCreate) -> Response:
        """A new user, by an administrator."""
        self._require_administrator(request)
        home = self._door.caller(request).home
        made = await self._door.use_cases.accounts.create(
            body.email, is_active=body.is_active, by=home
        )
        return json_answer(user_object(made), 201)

    async def read(self, request: Request, user_id: UUID) -> Response:
        """A user: oneself, or any for an administrator."""
        caller = self._door.caller(request)
        if caller.home.identity == str(user_id):
            return json_answer(await self._user(caller))
        self._require_administrator(request)
        found = await self._door.use_cases.accounts.find(str(user_id))
        if found is None:
            raise NotFound("User not found")
        return json_answer(user_object(found))

    async def change(self, request: Request, user_id: UUID, body: UserChange) -> Response:
        """Let a user in or keep them out, by an administrator."""
        self._require_administrator(request)
        accounts = self._door.use_cases.accounts
        found = await accounts.find(str(user_id))
        if found is None:
            raise NotFound("User not found")
        if body.is_active is not None:
            home = self._door.caller(request).home
            found = await accounts.set_active(found.id, body.is_active, home)
        return json_answer(user_object(found))

    async def create_key(self, request: Request, body: KeyCreate) -> Response:
        """A new key; its text is shown this once."""
        caller = self._door.caller(request)
        record, text = await self._door.use_cases.api_keys.create(caller.home, body.name)
        made = key_object(record, caller.home.identity)
        request.state.told_again = error_answer(Conflict(_TOLD_ONCE))
        return json_answer({"api_key": made, "key": text}, 201)

    async def keys(self, request: Request) -> Response:
        """The caller's keys, newest first."""
        caller = self._door.caller(request)
        found = await self._own_keys(caller)
        return json_answer([key_object(key, caller.home.identity) for key in found])

    async def revoke_key(self, request: Request, key_id: UUID) -> Response:
        """End one of the caller's keys."""
        caller = self._door.caller(request)
        if str(key_id) not in {key.id for key in await self._own_keys(caller)}:
            raise NotFound("API key not found")
        await self._door.use_cases.api_keys.revoke(caller.home, str(key_id))
        return Response(status_code=204)

    async def _own_keys(self, caller: Caller) -> list[Any]:
        """Those of the account; for a key of none, those of its company that are of none."""
        found = await self._door.use_cases.api_keys.listed(caller.home)
        return [key for key in found if key.account_id == caller.home.account_id]

    async def _user(self, caller: Caller) -> dict[str, Any]:
        if caller.account is not None:
            return user_object(caller.account)
        company = await self._door.use_cases.access.company(caller.home)
        return {
            "id": caller.home.identity,
            "email": f"{caller.home.identity}@keys.invalid",
            "username": caller.home.name,
            "is_active": True,
            "groups": [],
            "created_at": company.created_at.isoformat().replace("+00:00", "Z"),
            "updated_at": None,
        }

    def _require_administrator(self, request: Request) -> None:
        if not self._door.caller(request).is_administrator:
            raise HTTPException(403, "Admin access required")
