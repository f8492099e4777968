"""`opsin report`: what is known of one image, as a PDF."""

from pathlib import Path
from typing import Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.companies import running_for
from opsin.cli.options import Company, DataDir, make_data_dir, read_settings
from opsin.cli.output import say, size_text
from opsin.core.errors import ConfigurationError, reason_of


def report(
    image: Annotated[str, typer.Argument(metavar="IMAGE_ID", help="Of a stored image.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the PDF goes.")
    ],
    company: Company = "local",
    data_dir: DataDir = None,
) -> None:
    """Write what is known of an image as a PDF: picture, masks, numbers, their history."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    async def written() -> bytes:
        async with running_for(settings, company) as (parts, principal):
            return await parts.use_cases.reports.pdf(principal, image)

    content = event_loop.run(written())
    partial = output.with_name(f".{output.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {reason_of(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
    say(f"{output}: {size_text(len(content))}")
