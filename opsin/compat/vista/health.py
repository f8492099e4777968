"""Whether the server answers, as VISTA's clients ask it."""

from datetime import UTC, datetime

from fastapi.responses import Response

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.gate import Policy
from opsin.compat.vista.objects import moment
from opsin.compat.vista.routing import Routes


class HealthRoutes:
    """`/health`."""

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/health", self.health, policy=Policy.OPEN, tag="health")

    async def health(self) -> Response:
        """Waits for no database and no device."""
        return json_answer({"status": "healthy", "timestamp": moment(datetime.now(UTC))})
