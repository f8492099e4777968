"""`opsin retention`: removes what datasets do not keep any longer, without a server."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import print_json, print_line

if TYPE_CHECKING:
    from opsin.core.retention import Removed
    from opsin.settings import Settings

app = typer.Typer(help="What datasets keep, and for how long.", no_args_is_help=True)


@app.command("sweep")
def sweep(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Remove what is due now; servers do so every hour, and this may run beside them."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    removed = event_loop.run(_sweep(settings))
    if as_json:
        print_json(asdict(removed))
        return
    print_line(
        f"files of {removed.files} images, results of {removed.results} images, "
        f"{removed.images} images of what was deleted"
    )


async def _sweep(settings: "Settings") -> "Removed":
    from opsin.assembly import assemble

    async with assemble(settings).running() as parts:
        return await parts.use_cases.retention.run()
