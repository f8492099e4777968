"""`opsin keys`: API keys, made, listed and revoked on the server's machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.companies import as_caller, caller_for
from opsin.cli.options import Company, DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import minute_text, new_table, print_json, print_line, results, say
from opsin.cli.people import opened
from opsin.cli.role_options import (
    DatasetOption,
    DatasetsOption,
    Expires,
    RoleOption,
    RoleOrNone,
    dataset_ids,
    moment_of,
    role_or_none,
    roles_text,
)
from opsin.core.errors import NotFound
from opsin.core.roles import Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opsin.core.access import Principal
    from opsin.core.api_keys import ApiKeys
    from opsin.core.records import ApiKey
    from opsin.core.role_grants import DatasetRole
    from opsin.settings import Settings

_KEY_MARK = "opsin_"

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the key is for, to know it again.")
    ],
    company: Company = "local",
    role: RoleOption = Role.ADMIN,
    dataset: DatasetsOption = None,
    expires: Expires = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once; a company that is not there yet is made too."""
    expires_at = moment_of(expires)
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    key, text, given = event_loop.run(
        _create(settings, company, name, role, dataset or (), expires_at)
    )
    if as_json:
        print_json(_described(key, given) | {"key": text, "company": company})
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
        print_json({"keys": [_described(key, datasets) for key, datasets in found]})
        return
    if not found:
        say(f"company {company!r} has no keys")
        return
    table = new_table("Name", "Prefix", "Role", "Created", "Last used", "Expires", "Revoked")
    for key, datasets in found:
        moments = (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)
        table.add_row(
            key.name,
            key.prefix,
            roles_text(key.role, datasets),
            *(minute_text(moment) for moment in moments),
        )
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


@app.command("role")
def change_role(
    key: Annotated[str, typer.Argument(metavar="ID_OR_PREFIX", help="As `keys list` shows it.")],
    role: RoleOrNone,
    dataset: DatasetOption = None,
    company: Company = "local",
    data_dir: DataDir = None,
) -> None:
    """Change what a key may do, in the company or in a dataset; a server knows within a second."""
    wanted = role_or_none(role)
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    changed = event_loop.run(_change_role(settings, company, key, wanted, dataset))
    where = f"company {company!r}" if dataset is None else f"dataset {dataset!r}"
    say(f"key {changed.name!r} has {'no role' if wanted is None else f'role {wanted}'} in {where}")


async def _create(
    settings: "Settings",
    company: str,
    name: str,
    role: Role,
    datasets: "Sequence[str]",
    expires_at: "datetime | None",
) -> "tuple[ApiKey, str, list[DatasetRole]]":
    from opsin.core.actors import operator
    from opsin.core.datasets import require_text
    from opsin.core.role_grants import DatasetRole

    company = require_text(company, "company", 255)
    async with opened(settings) as people:
        owner = await people.access.ensure_company(company, operator())
        principal = as_caller(owner.id)
        ids = await dataset_ids(people.grants, principal, datasets)
        key, text = await people.keys.create(
            principal, name, role=role, dataset_ids=ids, expires_at=expires_at
        )
        return key, text, [DatasetRole(one, role) for one in dict.fromkeys(ids)]


async def _list(settings: "Settings", company: str) -> "list[tuple[ApiKey, Sequence[DatasetRole]]]":
    async with opened(settings) as people:
        principal = await caller_for(people.access, company)
        datasets = await people.grants.of_keys(principal)
        found = await people.keys.listed(principal)
        return [(key, datasets.get(key.id, ())) for key in found]


async def _revoke(settings: "Settings", company: str, wanted: str) -> "ApiKey":
    async with opened(settings) as people:
        principal = await caller_for(people.access, company)
        key = await _found(people.keys, principal, company, wanted)
        return await people.keys.revoke(principal, key.id)


async def _change_role(
    settings: "Settings", company: str, wanted: str, role: Role | None, dataset: str | None
) -> "ApiKey":
    from opsin.core.role_grants import Holder

    async with opened(settings) as people:
        principal, grants = await caller_for(people.access, company), people.grants
        key = await _found(people.keys, principal, company, wanted)
        holder = Holder(key_id=key.id)
        if dataset is None:
            await grants.set_role(principal, holder, role)
            return key
        dataset_id = await grants.dataset(principal, dataset)
        if role is None:
            await grants.revoke(principal, dataset_id, holder)
        else:
            await grants.grant(principal, dataset_id, holder, role)
        return key


async def _found(keys: "ApiKeys", principal: "Principal", company: str, wanted: str) -> "ApiKey":
    """By id, or by prefix, with or without the mark that every key begins with."""
    prefix = wanted.removeprefix(_KEY_MARK)
    for key in await keys.listed(principal):
        if wanted == key.id or prefix == key.prefix:
            return key
    raise NotFound(f"company {company!r} has no key with the id or prefix {wanted!r}")


def _described(key: "ApiKey", datasets: "Sequence[DatasetRole]" = ()) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "expires_at": key.expires_at,
        "role": key.role,
        "datasets": {one.dataset_id: one.role.value for one in datasets},
    }
