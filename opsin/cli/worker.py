"""`opsin worker`: runs queued analyses, without a server."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, make_data_dir, read_settings
from opsin.cli.output import print_line, say

if TYPE_CHECKING:
    from opsin.settings import Settings


def worker(
    data_dir: DataDir = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="End when the queue is empty, and say how many ended.")
    ] = False,
) -> None:
    """Run queued analyses until Ctrl-C or SIGTERM; what is in hand goes back into the queue."""
    settings = read_settings(server=True, data_dir=data_dir)
    make_data_dir(settings)
    if drain:
        ended = event_loop.run(event_loop.until_stopped(_drain(settings)))
        if ended is None:
            say("stopped; what was in hand is queued again")
        else:
            print_line(f"{ended} analyses ended")
        return
    event_loop.run(event_loop.until_stopped(_run(settings)))
    say("stopped; what was in hand is queued again")


async def _run(settings: "Settings") -> None:
    from opsin.assembly import assemble

    async with assemble(settings).running() as parts:
        event_loop.spare_collector()
        parts.use_cases.engine.preload(settings.warm)
        say("working; Ctrl-C stops")
        filling = asyncio.create_task(parts.backfill.run())
        try:
            await parts.worker.run()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)


async def _drain(settings: "Settings") -> int:
    from opsin.assembly import assemble

    async with assemble(settings).running() as parts:
        return await parts.backfill.drain(parts.worker)
