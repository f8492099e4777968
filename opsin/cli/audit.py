"""`opsin audit`: who did what, read on the server's machine, also while it happens."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, make_data_dir, read_settings
from opsin.cli.output import print_line, say
from opsin.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from opsin.core.audit_log import AuditEntry, AuditFilter, AuditLog
    from opsin.settings import Settings

_LOOK_SECONDS = 0.5
_OVERLAP = timedelta(seconds=30)
"""Two that commit at the same time may come in either order; so much is looked at again."""
_AT_ONCE = 1000


def audit(
    company: Annotated[
        str | None,
        typer.Option(
            "--company", metavar="NAME", help="Of one tenant only.", show_default="every one"
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="ID_OR_NAME", help="Who did it.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="ID", help="The key, private token or session shown."),
    ] = None,
    action: Annotated[
        list[str] | None,
        typer.Option("--action", metavar="ACTION", help="Such as dataset.delete; several times."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="What it was done to.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="ID", help="What happened in a dataset.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="ISO 8601, with its zone.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Before this time.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="The newest N.")
    ] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, with everything.")
    ] = False,
) -> None:
    """Show who did what, oldest first; it is only read, and cannot be changed."""
    from opsin.core.audit_log import AuditFilter

    wanted = AuditFilter(
        actor,
        tuple(action) if action else None,
        subject,
        dataset,
        _moment(since),
        _moment(until),
        key,
    )
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    work = _show(settings, company, wanted, limit, follow=follow, as_json=as_json)
    event_loop.run(event_loop.until_stopped(work))


async def _show(
    settings: "Settings",
    company: str | None,
    wanted: "AuditFilter",
    limit: int,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    from opsin.core.access import Access
    from opsin.core.audit_log import AuditLog
    from opsin.storage.database import Database
    from opsin.storage.schema import upgrade

    await upgrade(settings.resolved_database_url)
    database = Database(settings.resolved_database_url)
    try:
        company_id = None
        if company is not None:
            found = await Access(database, mode=settings.auth).find_company(company)
            if found is None:
                raise NotFound(f"there is no company {company!r}")
            company_id = found.id
        log = AuditLog(database)
        begun = _some_time_ago()
        # What lay before, and is left out by the limit, is not told by following.
        known = await _after(log, company_id, wanted, begun) if follow else []
        entries = await log.read(wanted, company_id=company_id, limit=limit)
        for entry in entries:
            _print(entry, as_json=as_json)
        if follow:
            shown = {entry.id for entry in (*known, *entries)}
            await _follow(log, company_id, wanted, begun, shown, as_json=as_json)
        elif not entries:
            say("nothing is noted of that")
    finally:
        await database.close()


async def _follow(
    log: "AuditLog",
    company_id: str | None,
    wanted: "AuditFilter",
    after: str,
    shown: set[str],
    *,
    as_json: bool,
) -> None:
    """What comes after an id and is not shown, for ever."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        next_after = _some_time_ago()
        for entry in await _after(log, company_id, wanted, after):
            if entry.id not in shown:
                _print(entry, as_json=as_json)
                shown.add(entry.id)
        after = next_after
        shown = {identity for identity in shown if identity >= after}


def _some_time_ago() -> str:
    from opsin.storage.ids import least_id

    return least_id(datetime.now(UTC) - _OVERLAP)


async def _after(
    log: "AuditLog", company_id: str | None, wanted: "AuditFilter", after: str
) -> "list[AuditEntry]":
    """All that came after an id."""
    found: list[AuditEntry] = []
    while True:
        some = await log.read(wanted, company_id=company_id, after=after, limit=_AT_ONCE)
        found += some
        if len(some) < _AT_ONCE:
            return found
        after = some[-1].id


def _print(entry: "AuditEntry", *, as_json: bool) -> None:
    import orjson

    if as_json:
        print_line(orjson.dumps(asdict(entry)).decode())
        return
    subject = "" if entry.subject_id is None else f" {entry.subject_kind} {entry.subject_id}"
    details = orjson.dumps(entry.details).decode() if entry.details else ""
    key = "" if entry.key_id in (None, entry.actor_id) else f" (key {entry.key_id})"
    print_line(
        f"{entry.created_at.isoformat(timespec='seconds')} {entry.actor_kind} "
        f"{_shown(entry.actor_name)}{key}: {entry.action}{subject} {details}".rstrip()
    )


def _shown(name: str) -> str:
    """A name that others have chosen, on one line and without control characters."""
    return "".join(one if one.isprintable() else "?" for one in name)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no time of ISO 8601") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"{text!r} needs a time zone, such as {text}+00:00")
    return moment
