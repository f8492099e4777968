"""`opsin worker`: runs queued analyses, without a server."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.child import Inherited, ParentLine
from opsin.cli.options import DataDir, InheritedOption, make_data_dir, read_settings
from opsin.cli.output import print_line, say

if TYPE_CHECKING:
    from opsin.settings import Settings


def worker(
    data_dir: DataDir = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="WHERE",
            help="local, ray, or ray://host:10001.",
            show_default="OPSIN_ENGINE, or local",
        ),
    ] = None,
    inherited: InheritedOption = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="End when the queue is empty, and say how many ended.")
    ] = False,
) -> None:
    """Run queued analyses until Ctrl-C or SIGTERM; what is in hand goes back into the queue."""
    settings = read_settings(server=True, data_dir=data_dir, engine=engine)
    make_data_dir(settings)
    if drain:
        ended = event_loop.run(event_loop.until_stopped(_drain(settings)))
        if ended is None:
            say("stopped; what was in hand is queued again")
        else:
            print_line(f"{ended} analyses ended")
        return
    place = None if inherited is None else Inherited.of_option(inherited)
    event_loop.run(event_loop.until_stopped(_run(settings, place)))
    say("stopped; what was in hand is queued again")


async def _run(settings: "Settings", place: Inherited | None) -> None:
    from opsin.assembly import assemble
    from opsin.assembly.worker_watching import watched
    from opsin.web.siblings import Siblings

    line = None if place is None else ParentLine(place)
    siblings = None if place is None else Siblings(place.folder, place.name)
    async with (
        assemble(settings).running() as parts,
        watched(settings, parts, siblings),
    ):
        event_loop.spare_collector()
        parts.use_cases.engine.preload(settings.warm)
        if line is None:
            say("working; Ctrl-C stops")
        else:
            engine = parts.use_cases.engine
            line.ready(lambda: engine.is_warm)
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
