"""`opsin webhooks`: sends events to webhooks, without a server."""

from typing import TYPE_CHECKING

from opsin.cli import event_loop
from opsin.cli.options import DataDir, make_data_dir, read_settings
from opsin.cli.output import say

if TYPE_CHECKING:
    from opsin.settings import Settings


def webhooks(data_dir: DataDir = None) -> None:
    """Send webhooks until Ctrl-C or SIGTERM; others that send to the same database share them."""
    settings = read_settings(server=True, data_dir=data_dir)
    make_data_dir(settings)
    event_loop.run(event_loop.until_stopped(_run(settings)))
    say("stopped; what was not sent is in the log")


async def _run(settings: "Settings") -> None:
    from opsin.assembly import assemble
    from opsin.assembly.worker_watching import watched
    from opsin.doors import legacy_apis

    async with assemble(settings).running() as parts, watched(settings, parts):
        legacy_apis(settings, parts.use_cases)  # they add the forms of their own webhooks
        event_loop.spare_collector()
        say("sending; Ctrl-C stops")
        await parts.sender.run()
