"""`opsin groups`: which people, known by their e-mail address, reach which company."""

from typing import TYPE_CHECKING, Annotated

import typer

from opsin.cli import event_loop
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import new_table, print_json, results, say
from opsin.cli.people import opened
from opsin.cli.role_options import NO_ROLE, ROLES, role_or_none
from opsin.core.roles import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from opsin.core.accounts import Account
    from opsin.core.memberships import Memberships
    from opsin.settings import Settings

    T = TypeVar("T")

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The company's name.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address.")]

app = typer.Typer(help="Members of companies.", no_args_is_help=True)


@app.command("add")
def add(
    group: Group,
    email: Email,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help=f"{ROLES}; or {NO_ROLE}.")
    ] = Role.ADMIN,
    data_dir: DataDir = None,
) -> None:
    """Make somebody a member; a company or an account that is not there yet is made too.

    Who is one already keeps the role; `opsin accounts role` changes it.
    """
    wanted = role_or_none(role)
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    account = event_loop.run(
        _with(settings, lambda memberships: memberships.add(group, email, wanted))
    )
    say(f"{account.email} is a member of {group!r}")


@app.command("remove")
def remove(group: Group, email: Email, data_dir: DataDir = None) -> None:
    """End a membership."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    event_loop.run(_with(settings, lambda memberships: memberships.remove(group, email)))
    say(f"{email} is no member of {group!r}")


@app.command("list")
def list_members(group: Group, data_dir: DataDir = None, as_json: Json = False) -> None:
    """List a company's members."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    found = event_loop.run(_with(settings, lambda memberships: memberships.listed(group)))
    if as_json:
        print_json({"members": [_described(account) for account in found]})
        return
    if not found:
        say(f"{group!r} has no members")
        return
    table = new_table("E-mail", "Active")
    for account in found:
        table.add_row(account.email, "yes" if account.is_active else "no")
    results().print(table)


async def _with(settings: "Settings", act: "Callable[[Memberships], Awaitable[T]]") -> "T":
    async with opened(settings) as people:
        return await act(people.memberships)


def _described(account: "Account") -> dict[str, str | bool]:
    return {"id": account.id, "email": account.email, "is_active": account.is_active}
