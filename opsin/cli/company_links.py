"""`opsin companies`: which there are, and whose members reach another one, too."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import minute_text, new_table, print_json, results, say
from opsin.cli.people import opened
from opsin.cli.role_options import RoleOption
from opsin.core.roles import Role

if TYPE_CHECKING:
    from opsin.core.companies import CompanyInfo
    from opsin.settings import Settings

Name = Annotated[str, typer.Argument(metavar="COMPANY", help="The company's name.")]
Linked = Annotated[
    str, typer.Argument(metavar="LINKED", help="The company that its members reach, too.")
]

app = typer.Typer(help="Companies and the links between them.", no_args_is_help=True)


@app.command("list")
def list_companies(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List every company, by name."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    found = event_loop.run(_list(settings))
    if as_json:
        print_json({"companies": [_described(one) for one in found]})
        return
    if not found:
        say("there are no companies")
        return
    table = new_table("Name", "Members", "Reaches too", "Created")
    for one in found:
        created = minute_text(one.company.created_at)
        linked = ", ".join(f"{name} ({role})" for name, role in one.links.items())
        table.add_row(one.company.name, str(one.members), linked, created)
    results().print(table)


@app.command("link")
def link(
    company: Name, linked: Linked, role: RoleOption = Role.ADMIN, data_dir: DataDir = None
) -> None:
    """Let the members of a company reach another; not the other way round.

    There they may do what the role allows, and never more than at home.  Again: another role.
    """
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    event_loop.run(_link(settings, company, linked, role))
    say(f"the members of {company!r} reach {linked!r}, with the role {role} at most")


@app.command("unlink")
def unlink(company: Name, linked: Linked, data_dir: DataDir = None) -> None:
    """End a link; those who are members of both companies reach both all the same."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    was_linked = event_loop.run(_unlink(settings, company, linked))
    more = "" if was_linked else "; they did not before"
    say(f"the members of {company!r} do not reach {linked!r} by a link{more}")


async def _list(settings: "Settings") -> "list[CompanyInfo]":
    async with opened(settings) as people:
        return await people.companies.listed()


async def _link(settings: "Settings", company: str, linked: str, role: Role) -> None:
    async with opened(settings) as people:
        await people.companies.link(company, linked, role)


async def _unlink(settings: "Settings", company: str, linked: str) -> bool:
    async with opened(settings) as people:
        return await people.companies.unlink(company, linked)


def _described(one: "CompanyInfo") -> dict[str, Any]:
    return {
        "id": one.company.id,
        "name": one.company.name,
        "members": one.members,
        "links": list(one.links),
        "link_roles": dict(one.links),
        "created_at": one.company.created_at,
    }
