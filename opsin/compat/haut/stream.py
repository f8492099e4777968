"""The results stream: each algorithm's result as soon as it has ended, for a company's servers."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial

from starlette.websockets import WebSocket

from opsin.compat.haut.broadcast import Broadcast, Frame, Listener
from opsin.compat.haut.catalogue import CATALOGUE
from opsin.compat.haut.gate import Gate
from opsin.compat.haut.results import Known, Results, item, text_of
from opsin.core.access import Principal
from opsin.core.errors import Forbidden
from opsin.core.run_results import RunResult
from opsin.core.use_cases import UseCases
from opsin.storage.event_log import Event
from opsin.storage.ids import canonical_id

log = logging.getLogger(__name__)

KINDS = ("analysis.completed", "analysis.failed", "analysis.cancelled")


class ResultStream:
    """One frame for each result, also of those that failed; nothing of before."""

    def __init__(self, use_cases: UseCases, gate: Gate, results: Results) -> None:
        self._use_cases = use_cases
        self._gate = gate
        self._results = results
        self._broadcast = Broadcast(use_cases.events, KINDS, self._frames)

    async def serve(self, socket: WebSocket) -> None:
        """Until the client goes; raises what the handshake is refused with."""
        principal = await self._gate.listener(socket)
        company_id = socket.query_params.get("company_id", "")
        if canonical_id(company_id) is None:
            raise Forbidden("company_id must name a company of the user")
        acting = await self._gate.acting(principal, company_id)
        listener = Listener(socket, partial(self._confirm, acting))
        companies = [acting.company_id]
        try:
            await self._broadcast.join(listener, companies)
            await listener.run(())
        finally:
            await self._broadcast.leave(listener, companies)

    async def _confirm(self, acting: Principal) -> Mapping[str, Principal]:
        return {acting.company_id: await self._use_cases.access.confirm(acting)}

    async def _frames(self, company_id: str, found: Sequence[Event]) -> list[Frame]:
        """Those of runs, read together; each is written once for all who listen."""
        ids = [event.analysis_id for event in found if event.analysis_id is not None]
        reads = self._use_cases.run_results
        results = await reads.of_analyses(company_id, ids)
        if not results:
            return []
        shown = list(results.values())
        # What the detector has found in the same images: masks are moved by it.
        detector = CATALOGUE.detector.operation
        missing = {one.place for one in shown} - {
            one.place for one in shown if one.analysis.operation == detector
        }
        more = await reads.of_places(company_id, missing, detector) if missing else []
        known = await self._results.known(Principal(company_id, "results stream"), shown, more)
        asked = [
            (event.sequence, results[event.analysis_id])
            for event in found
            if event.analysis_id in results
        ]
        return await asyncio.to_thread(_written, company_id, asked, known)


def _written(company_id: str, asked: Sequence[tuple[int, RunResult]], known: Known) -> list[Frame]:
    frames = []
    for sequence, one in asked:
        try:
            told = {
                **item(one, known),
                "company_id": company_id,
                "dataset_id": one.analysis.dataset_id,
                "subject_id": one.subject_id,
                "batch_id": one.batch_id,
            }
            frames.append(
                Frame(company_id, one.analysis.dataset_id, sequence, text_of(told).decode())
            )
        except Exception:  # whatever is wrong with one must not cost the others
            log.exception("the result %s cannot be streamed", one.analysis.id)
    return frames
