"""`opsin keys`: API keys, made, listed and revoked on the server's machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.companies import as_caller, caller_for
from opsin.cli.options import Company, DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import minute_text, new_table, print_json, print_line, results, say
from opsin.cli.people import opened
from opsin.core.errors import NotFound

if TYPE_CHECKING:
    from opsin.core.records import ApiKey
    from opsin.settings import Settings

_KEY_MARK = "opsin_"

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the key is for, to know it again.")
    ],
    company: Company = "local",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once; a company that is not there yet is made too."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    key, text = event_loop.run(_create(settings, company, name))
    if as_json:
        print_json(_described(key) | {"key": text, "company": company})
        return
    say(f"key {key.name!r} of company {company!r}; it is not shown again")
    print_line(text)


@app.command("list")
def list_keys(company: Company = "local", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List a company's keys, newest first, without their secrets."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    found = event_loop.run(_list(settings, company))
    if as_json:
        print_json({"keys": [_described(key) for key in found]})
        return
    if not found:
        say(f"company {company!r} has no keys")
        return
    table = new_table("Name", "Prefix", "Created", "Last used", "Revoked")
    for key in found:
        moments = (key.created_at, key.last_used_at, key.revoked_at)
        table.add_row(key.name, key.prefix, *(minute_text(moment) for moment in moments))
    results().print(table)


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID_OR_PREFIX", help="As `keys list` shows it.")],
    company: Company = "local",
    data_dir: DataDir = None,
) -> None:
    """End a key; a server that runs refuses it within a second."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    revoked = event_loop.run(_revoke(settings, company, key))
    print_line(f"revoked {revoked.name!r}, prefix {revoked.prefix}")


async def _create(settings: "Settings", company: str, name: str) -> tuple["ApiKey", str]:
    from opsin.core.datasets import require_text

    company = require_text(company, "company", 255)
    async with opened(settings) as people:
        owner = await people.access.ensure_company(company)
        return await people.access.create_key(as_caller(owner.id), name)


async def _list(settings: "Settings", company: str) -> list["ApiKey"]:
    async with opened(settings) as people:
        return await people.access.keys(await caller_for(people.access, company))


async def _revoke(settings: "Settings", company: str, wanted: str) -> "ApiKey":
    """By id, or by prefix, with or without the mark that every key begins with."""
    async with opened(settings) as people:
        access = people.access
        principal = await caller_for(access, company)
        prefix = wanted.removeprefix(_KEY_MARK)
        for key in await access.keys(principal):
            if wanted == key.id or prefix == key.prefix:
                return await access.revoke_key(principal, key.id)
    raise NotFound(f"company {company!r} has no key with the id or prefix {wanted!r}")


def _described(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }
