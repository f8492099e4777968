"""What runs beside the doors for as long as a server does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from opsin.assembly.parts import Parts
from opsin.core.errors import OpsinError
from opsin.settings import Settings

log = logging.getLogger(__name__)

_SWEEP_EVERY = timedelta(hours=1)


@asynccontextmanager
async def duties(settings: Settings, parts: Parts) -> AsyncIterator[None]:
    """Meanwhile all of them run; first, the models to warm."""
    use_cases = parts.use_cases
    use_cases.engine.preload(settings.warm)
    found: dict[str, Coroutine[None, None, None]] = {
        "the sweeper": _sweep(parts),
        "the clock of the event loop": parts.lag.watch(),
        "the watch over files that are sent": use_cases.sent_files.watch(),
        "the backfill": parts.backfill.run(),
        "retention": use_cases.retention.watch(),
    }
    if use_cases.recorder is not None:
        found["the recorder"] = use_cases.recorder.run()
    if settings.worker:
        found["the worker"] = parts.worker.run()
    if settings.webhooks:
        found["the sender of webhooks"] = parts.sender.run()
    async with _running(found):
        yield


@asynccontextmanager
async def _running(found: Mapping[str, Coroutine[None, None, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(duty, name=name) for name, duty in found.items()]
    for task in tasks:
        task.add_done_callback(_tell_of_end)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_of_end(task: "asyncio.Task[None]") -> None:
    """The doors stay open though one has failed: who reads the log must know."""
    if not task.cancelled() and (error := task.exception()) is not None:
        expected = isinstance(error, OpsinError)
        log.error(
            "%s has ended; restart this server: %s",
            task.get_name(),
            error,
            exc_info=None if expected else error,
        )


async def _sweep(parts: Parts) -> None:
    use_cases = parts.use_cases
    sweeps: Sequence[Callable[[], Awaitable[int]]] = (
        use_cases.sent_files.sweep,
        use_cases.image_deletions.purge,
        use_cases.signed_answers.sweep,
        use_cases.predictions.sweep,
        use_cases.rate_limits.sweep,
        use_cases.sessions.sweep,
        use_cases.audit_log.sweep,
        partial(parts.sweep.run, older_than=_SWEEP_EVERY),
    )
    while True:
        await asyncio.sleep(_SWEEP_EVERY.total_seconds())
        for sweep in sweeps:
            try:
                await sweep()
            except Exception as error:  # the next time does it, and the others go on
                expected = isinstance(error, OpsinError)
                log.warning("what is over could not be swept", exc_info=not expected)
