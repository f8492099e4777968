"""The companies that a caller may act for."""

from collections.abc import Mapping

from starlette.responses import Response

from opsin.compat.haut.answers import answer
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import API, COMPANY
from opsin.core.access import Principal
from opsin.core.use_cases import UseCases


class TenantRoutes:
    """`/companies` and `/companies/{id}`."""

    def __init__(self, use_cases: UseCases, _options: HautOptions, _gate: Gate) -> None:
        self._use_cases = use_cases

    def rows(self) -> list[Row]:
        return [
            Row(f"{API}/companies", {"GET": self.listed}),
            Row(COMPANY, {"GET": self.read}),
        ]

    async def listed(self, call: Call) -> Response:
        """Those of the caller's account and the linked ones."""
        found = await companies_of(self._use_cases, call.principal)
        return answer([{"id": key, "name": name} for key, name in found.items()])

    async def read(self, call: Call) -> Response:
        """One company."""
        company = await self._use_cases.access.company(call.principal)
        return answer({"id": company.id, "name": company.name})


async def companies_of(use_cases: UseCases, principal: Principal) -> Mapping[str, str]:
    """Id to name of every company that the caller may act for, by name."""
    if principal.reaches_all and principal.account_id is not None:
        return (await use_cases.access.reach.of(principal.account_id)).all
    company = await use_cases.access.company(principal)
    return {company.id: company.name}
