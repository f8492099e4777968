"""The command `opsin`: its commands, and how each of their errors ends."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from opsin import __version__
from opsin.cli import (
    accounts,
    analyze,
    audit,
    backup,
    calibrate,
    caption_folder,
    classifiers,
    company_links,
    db,
    demo,
    doctor,
    event_loop,
    export,
    galleries,
    groups,
    import_files,
    keys,
    logs,
    models,
    operations,
    output,
    pekat,
    plugins,
    report,
    retention,
    serve,
)
from opsin.cli import webhooks as webhooks_command
from opsin.cli import worker as worker_command
from opsin.cli.exit_codes import ExitCode, exit_code_of
from opsin.core.errors import OpsinError

# Nothing heavy is imported by this file, nor by a command's before it runs: the test of `--help`
# looks at what was.
app = typer.Typer(
    name="opsin",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Opsin, an image-analysis server.  Every setting is an OPSIN_* environment variable.",
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("analyze")(analyze.analyze)
app.command("audit")(audit.audit)
app.command("backup")(backup.backup)
app.command("calibrate")(calibrate.calibrate)
app.command("caption-folder")(caption_folder.caption_folder)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("import")(import_files.import_files)
app.command("operations")(operations.operations)
app.command("report")(report.report)
app.command("restore")(backup.restore)
app.command("webhooks")(webhooks_command.webhooks)
app.command("worker")(worker_command.worker)
app.add_typer(models.app, name="models")
app.add_typer(classifiers.app, name="classifiers")
app.add_typer(galleries.app, name="galleries")
app.add_typer(plugins.app, name="plugins")
app.add_typer(keys.app, name="keys")
app.add_typer(groups.app, name="groups")
app.add_typer(accounts.app, name="accounts")
app.add_typer(company_links.app, name="companies")
app.add_typer(db.app, name="db")
app.add_typer(retention.app, name="retention")
app.add_typer(pekat.app, name="pekat")


@dataclass
class Invocation:
    """What `main` needs to know of a command that did not come back."""

    debug: bool = False


def main() -> None:
    """Run the command line; ends the process."""
    event_loop.slow_collector()  # a tenth of the time that imports take
    invocation = Invocation()
    try:
        typer.main.get_command(app).main(prog_name="opsin", obj=invocation)
    except OpsinError as error:
        _complain(error.message, error, debug=invocation.debug)
        sys.exit(exit_code_of(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "" if invocation.debug else "  (opsin --debug ... shows where)"
        _complain(f"unexpected {reason}{hint}", error, debug=invocation.debug)
        sys.exit(ExitCode.FAILED)


def _version(asked: bool) -> None:
    if asked:
        output.print_line(f"opsin {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    context.obj.debug = debug
    logs.configure(debug=debug)


def _complain(reason: str, error: Exception, *, debug: bool) -> None:
    """One line on stderr, below the traceback when that was asked for."""
    if debug:
        import traceback

        traceback.print_exception(error)
    output.say(f"opsin: {' '.join(reason.split())}")
