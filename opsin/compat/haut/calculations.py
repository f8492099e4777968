"""What is calculated, and how it is handed out: lists, reports, sockets, webhooks."""

from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from opsin.compat.haut import reports
from opsin.compat.haut.answers import error_answer
from opsin.compat.haut.applications import Applications
from opsin.compat.haut.auxiliary import AuxImages
from opsin.compat.haut.deliveries import Deliveries
from opsin.compat.haut.gate import Gate, Row
from opsin.compat.haut.notifications import Notifications
from opsin.compat.haut.numbers import Algorithms, declare
from opsin.compat.haut.options import HautOptions
from opsin.compat.haut.paths import COMPANY, DATASET, IMAGE, SUBJECT
from opsin.compat.haut.result_lists import ResultLists
from opsin.compat.haut.results import Results
from opsin.compat.haut.runs import Runs
from opsin.compat.haut.smoothing import SmoothedResults
from opsin.compat.haut.stream import ResultStream
from opsin.compat.haut.webhooks import Webhooks
from opsin.core.use_cases import UseCases

APPLICATIONS = f"{COMPANY}/applications"
NOTIFICATIONS = "/notifications"

Serve = Callable[[WebSocket], Awaitable[None]]


class CalculationRoutes:
    """One part of the API."""

    def __init__(self, use_cases: UseCases, options: HautOptions, gate: Gate) -> None:
        """Adds the applications and the webhooks' format to those that the server has."""
        declare(use_cases)
        algorithms = Algorithms(use_cases)
        results = Results(use_cases, algorithms)
        self._applications = Applications(use_cases, options, algorithms)
        self._runs = Runs(use_cases, algorithms)
        self._lists = ResultLists(results)
        self._aux = AuxImages(use_cases, options, results)
        self._smoothed = SmoothedResults(use_cases)
        self._reports = reports.ImageReports(use_cases)
        self._webhooks = Webhooks(use_cases, options)
        self._notifications = Notifications(use_cases, gate)
        self._stream = ResultStream(use_cases, gate, results)
        Deliveries(use_cases, results)

    def rows(self) -> list[Row]:
        run = f"{APPLICATIONS}/{{application_id}}/runs"
        named = f"{APPLICATIONS}/{{application_id}}/attach-to-dataset"
        webhooks = {
            "POST": self._webhooks.configure,
            "GET": self._webhooks.listed,
            "DELETE": self._webhooks.delete,
        }
        return [
            Row(APPLICATIONS, {"GET": self._applications.listed}),
            Row(run, {"GET": self._runs.listed, "POST": self._runs.attach}),
            Row(named, {"POST": self._runs.attach_by_name}),
            Row(f"{IMAGE}/results", {"GET": self._lists.of_image}),
            Row(f"{SUBJECT}/all_results", {"GET": self._lists.of_subject}),
            Row(f"{IMAGE}/aux", {"GET": self._aux.listed}),
            Row(f"{IMAGE}/aux/{{aux_id}}/signed_url", {"GET": self._aux.signed_url}),
            Row(f"{IMAGE}/smoothed_results", {"GET": self._smoothed.listed}),
            Row(reports.PATH, {"POST": self._reports.pdf}, json=False),
            Row(f"{DATASET}/webhooks", webhooks),
        ]

    def sockets(self) -> list[BaseRoute]:
        served: tuple[tuple[str, Serve], ...] = (
            (NOTIFICATIONS, self._notifications.serve),
            (f"{NOTIFICATIONS}/results", self._stream.serve),
        )
        return [
            WebSocketRoute(form, Socket(serve))
            for path, serve in served
            for form in (path, f"{path}/")
        ]


class Socket:
    """An ASGI application; what is raised before the handshake is done refuses it."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        try:
            await self._serve(socket)
        except Exception as error:
            response = error_answer(error)  # which logs what nobody expected
            if socket.application_state is WebSocketState.CONNECTING:
                await socket.send_denial_response(response)
