"""Private tokens: made by an account for as long as it wants, listed, and ended."""

from typing import Any

from pydantic import Field
from starlette.responses import Response

from opsin.compat.haut.answers import answer, moment, not_found, telling
from opsin.compat.haut.bodies import Body, body_of
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.pages import asked, number_in, paginated
from opsin.compat.haut.paths import API
from opsin.compat.haut.times import MaybeMoment
from opsin.core.records import ApiKey
from opsin.core.use_cases import UseCases

_PATH = f"{API}/auth/private_tokens"
_ORDERS = {"id": "id", "name": "name", "expiration_time": "expires_at"}


class NewToken(Body):
    name: str = Field(min_length=1, max_length=255)
    expiration_time: MaybeMoment = None


class TokenRoutes:
    """`/auth/private_tokens` and `/auth/private_tokens/{number}`."""

    def __init__(self, use_cases: UseCases, options: HautOptions, _gate: Gate) -> None:
        self._tokens = use_cases.private_tokens
        self._options = options

    def rows(self) -> list[Row]:
        return [
            Row(_PATH, {"GET": self.listed, "POST": self.create}),
            Row(f"{_PATH}/{{token_id}}", {"DELETE": self.delete}),
        ]

    async def create(self, call: Call) -> Response:
        """A new token, whose text is told this once."""
        sent = await body_of(call.request, NewToken)
        with telling("expiration_time" if sent.expiration_time else "name"):
            made, text = await self._tokens.create(call.principal, sent.name, sent.expiration_time)
        return answer(_object(made) | {"data": text}, 201)

    async def listed(self, call: Call) -> Response:
        """The caller's tokens without their texts."""
        page = asked(call.request, self._options)
        found, count = await self._tokens.listed(
            call.principal,
            skip=page.skip,
            limit=page.size,
            text=page.text,
            order=page.order(_ORDERS),
        )
        return paginated(
            call.request, self._options, page, [_object(token) for token in found], count
        )

    async def delete(self, call: Call) -> Response:
        """End a token at once."""
        number = number_in(call.parameter("token_id"))
        if number is None:
            raise not_found()
        await self._tokens.delete(call.principal, number)
        return Response(status_code=204)


def _object(token: ApiKey) -> dict[str, Any]:
    return {
        "id": token.number,
        "name": token.name,
        "expiration_time": moment(token.expires_at),
    }
