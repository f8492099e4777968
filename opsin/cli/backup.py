"""`opsin backup` and `opsin restore`: all that an installation keeps, in one folder, and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.exit_codes import ExitCode
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import messages, print_json, print_line, say, size_text
from opsin.core.errors import ConfigurationError

if TYPE_CHECKING:
    from opsin.core.backup import BackupOptions, Manifest, RestoreOptions
    from opsin.core.backup.restore import Restored
    from opsin.settings import Settings

_SHOWN = 10

Told = Callable[[str, int, "int | None"], None]


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DEST", help="A new folder, which gets its name when whole.")
    ],
    list_files: Annotated[
        bool,
        typer.Option(
            "--list-files",
            help="Only list the files of images and artifacts: for a store with copies of its own.",
        ),
    ] = False,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            metavar="EARLIER",
            help="A backup on the same disk; files that it has are linked, not copied again.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read the files of EARLIER, and link only those that are still as they were.",
        ),
    ] = False,
    models: Annotated[
        bool, typer.Option("--models", help="Copy the models, too, instead of listing them.")
    ] = False,
    no_secret: Annotated[
        bool,
        typer.Option("--no-secret", help="Leave the secret key of the data directory out."),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Save all rows, events and files, as they are at one moment, while the server runs on."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)

    from opsin.core.backup import BackupOptions
    from opsin.core.backup.backup import require_backup

    options = BackupOptions(
        copy_blobs=not list_files,
        since=None if since is None else require_backup(since),
        verify=verify,
        models=models,
        secret=not no_secret,
    )
    with _progress(silent=as_json) as told:
        manifest = event_loop.run(_backup(settings, folder, options, told))
    if as_json:
        print_json(_summary(manifest))
    else:
        print_line(f"{folder}: {_contents(manifest)}")
        _tell_secret(manifest)
    _list("is named by a row, but cannot be read", manifest.blobs.missing)
    if manifest.blobs.missing:
        raise typer.Exit(ExitCode.FAILED)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="SRC", help="The folder of a backup.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only read all of the backup and check it.")
    ] = False,
    other_secret: Annotated[
        bool,
        typer.Option(
            "--other-secret",
            help="Go on though the secret key here is another than the backup's.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Fill an empty database, of either kind, and the store of files from a backup."""
    settings = read_settings(data_dir=data_dir)

    from opsin.core.backup import RestoreOptions, check_backup

    with _progress(silent=as_json) as told:
        if check:
            manifest = event_loop.run(check_backup(folder, told))
        else:
            make_data_dir(settings)
            options = RestoreOptions(other_secret=other_secret)
            restored = event_loop.run(_restore(settings, folder, options, told))
    if check:
        if as_json:
            print_json(_summary(manifest))
        else:
            print_line(f"{folder} is whole: {_contents(manifest)}")
        _list("was missing when the backup was made", manifest.blobs.missing)
        return
    if as_json:
        print_json(
            _summary(restored.manifest)
            | {
                "revision": restored.revision,
                "missing": list(restored.missing_blobs),
                "missing_models": list(restored.missing_models),
                "secret": restored.secret,
            }
        )
    else:
        _tell(restored)
    if restored.missing_blobs:
        raise typer.Exit(ExitCode.FAILED)


async def _backup(
    settings: "Settings", folder: Path, options: "BackupOptions", told: Told
) -> "Manifest":
    from opsin.assembly.stores import open_blobs
    from opsin.core.backup import Backup
    from opsin.core.links import load_or_create_secret
    from opsin.storage.database import Database
    from opsin.storage.schema import current_revision

    if settings.resolved_blob_url.startswith("memory:"):
        raise ConfigurationError("OPSIN_BLOB_URL is memory://, which no other process can read")
    url = settings.resolved_database_url
    sqlite_file = settings.data_dir / "opsin.sqlite3"
    if settings.database_url is None and not sqlite_file.is_file():
        raise ConfigurationError(f"there is no database in {settings.data_dir}")
    if await current_revision(url) is None:
        raise ConfigurationError("the database has no tables of Opsin")
    if settings.secret_key:
        secret = settings.secret_key.encode()
    else:
        secret = load_or_create_secret(settings.data_dir / "secret.key")
    database, blobs = Database(url), open_blobs(settings)
    try:
        work = Backup(
            database,
            url,
            blobs,
            models=settings.models_dir,
            secret=secret,
            owns_secret=not settings.secret_key,
        )
        return await work.run(folder, options, told)
    finally:
        await blobs.close()
        await database.close()


async def _restore(
    settings: "Settings", folder: Path, options: "RestoreOptions", told: Told
) -> "Restored":
    from opsin.assembly.stores import open_blobs
    from opsin.core.backup import Restore
    from opsin.core.links import load_or_create_secret

    if settings.resolved_blob_url.startswith("memory:"):
        raise ConfigurationError("OPSIN_BLOB_URL is memory://, which is gone with this command")
    file = settings.data_dir / "secret.key"
    if settings.secret_key:
        secret: bytes | None = settings.secret_key.encode()
    else:
        secret = load_or_create_secret(file) if file.exists() else None
    blobs = open_blobs(settings)
    try:
        work = Restore(
            settings.resolved_database_url,
            blobs,
            models=settings.models_dir,
            secret=secret,
            secret_file=None if settings.secret_key else file,
        )
        return await work.run(folder, options, told)
    finally:
        await blobs.close()


@contextmanager
def _progress(*, silent: bool) -> Iterator[Told]:
    """A line that changes on a terminal; nothing is drawn into files."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=silent or not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def _summary(manifest: "Manifest") -> dict[str, object]:
    return {
        "opsin": manifest.opsin,
        "created_at": manifest.created_at,
        "revision": manifest.revision,
        "database": manifest.database,
        "rows": {table.name: table.rows.lines for table in manifest.tables},
        "files": manifest.blobs.listed.lines,
        "bytes": manifest.blobs.bytes,
        "files_copied": manifest.blobs.copied,
        "missing": list(manifest.blobs.missing),
        "secret_included": manifest.secret.included,
        "models": [model.path for model in manifest.models.files],
        "models_copied": manifest.models.copied,
    }


def _contents(manifest: "Manifest") -> str:
    blobs, models = manifest.blobs, manifest.models
    files = f"{blobs.listed.lines} files ({size_text(blobs.bytes)})"
    return (
        f"{manifest.rows} rows, {files}{'' if blobs.copied else ' listed, not copied'}, "
        f"{len(models.files)} files of models{'' if models.copied else ' listed, not copied'}; "
        f"{manifest.database}, revision {manifest.revision}, Opsin {manifest.opsin}"
    )


def _tell_secret(manifest: "Manifest") -> None:
    if manifest.secret.included:
        say("the secret key is in it: keep the backup as you keep a password")
    else:
        say("the secret key is not in it: keep that (OPSIN_SECRET_KEY or secret.key) elsewhere")


_SECRETS = {
    "restored": "the secret key was restored",
    "same": "the secret key here is the one of the backup",
    "other": "the secret key here is another: secrets of webhooks must be given anew",
    "none": "the backup has no secret key: give the original's as OPSIN_SECRET_KEY, or the secrets "
    "of webhooks must be given anew",
}


def _tell(restored: "Restored") -> None:
    print_line(f"restored {_contents(restored.manifest)}")
    if restored.revision != restored.manifest.revision:
        print_line(f"the tables are at revision {restored.revision} now")
    say(_SECRETS[restored.secret])
    _list("is named by a row, but is nowhere", restored.missing_blobs)
    if restored.missing_models:
        say(f"{len(restored.missing_models)} files of models are not here: opsin models pull")


def _list(what: str, digests: tuple[str, ...]) -> None:
    for digest in digests[:_SHOWN]:
        say(f"the file {digest} {what}")
    if len(digests) > _SHOWN:
        say(f"and {len(digests) - _SHOWN} more; --json tells all")
