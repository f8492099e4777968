"""`opsin accounts`: people who sign in with a password, on the server's machine."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsin.cli import event_loop
from opsin.cli.companies import as_caller, caller_for
from opsin.cli.options import DataDir, Json, make_data_dir, read_settings
from opsin.cli.output import minute_text, new_table, print_json, results, say
from opsin.cli.people import opened
from opsin.cli.role_options import DatasetOption, RoleOrNone, role_or_none
from opsin.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from opsin.core.accounts import Account, AccountInfo, Accounts
    from opsin.core.roles import Role
    from opsin.settings import Settings

_MOST_BYTES = 64 * 2**10

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The person's e-mail address.")]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin", help="Take the password from stdin; at a terminal, ask for it."
    ),
]

app = typer.Typer(help="People who sign in with a password.", no_args_is_help=True)


@app.command("create")
def create(
    email: Email,
    password_stdin: PasswordStdin = False,
    company: Annotated[
        str | None,
        typer.Option(
            "--company",
            metavar="NAME",
            help="The person's own company, made when it is not there.",
            show_default="one named like the address",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The full name.")] = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make an account; without a password nobody can sign in to it."""
    password = _read_password() if password_stdin else None
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    made = event_loop.run(_create(settings, email, password, company, name))
    if as_json:
        print_json(_described(made))
        return
    account = made.account
    say(f"{account.email} is account {account.number}, of company {made.company!r}")


@app.command("list")
def list_accounts(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List every account, by address."""
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    found = event_loop.run(_list(settings))
    if as_json:
        print_json({"accounts": [_described(one) for one in found]})
        return
    if not found:
        say("there are no accounts")
        return
    table = new_table("Number", "E-mail", "Name", "Company", "Active", "Password", "Created")
    for one in found:
        account = one.account
        table.add_row(
            str(account.number),
            account.email,
            account.full_name,
            one.company,
            "yes" if account.is_active else "no",
            "yes" if one.has_password else "no",
            minute_text(account.created_at),
        )
    results().print(table)


@app.command("password")
def password(email: Email, password_stdin: PasswordStdin = False, data_dir: DataDir = None) -> None:
    """Give an account another password; whoever is signed in must sign in again."""
    if not password_stdin:
        raise InvalidInput("say --password-stdin, and give the password there")
    given = _read_password()
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    account = event_loop.run(_set_password(settings, email, given))
    say(f"{account.email} has another password")


@app.command("disable")
def disable(email: Email, data_dir: DataDir = None) -> None:
    """Keep somebody out, also by keys and tokens; a server that runs knows within a second."""
    _set_active(email, False, data_dir)


@app.command("enable")
def enable(email: Email, data_dir: DataDir = None) -> None:
    """Let somebody in again; their keys and tokens are good again, their sessions are not."""
    _set_active(email, True, data_dir)


@app.command("role")
def change_role(
    email: Email,
    role: RoleOrNone,
    company: Annotated[
        str | None,
        typer.Option(
            "--company", metavar="NAME", help="Where.", show_default="the person's own company"
        ),
    ] = None,
    dataset: DatasetOption = None,
    data_dir: DataDir = None,
) -> None:
    """Change what somebody may do, in a company or in one of its datasets.

    They must be a member.  A server that runs knows within a second.
    """
    wanted = role_or_none(role)
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    account = event_loop.run(_change_role(settings, email, wanted, company, dataset))
    where = "the company" if dataset is None else f"dataset {dataset!r}"
    say(f"{account.email} has {'no role' if wanted is None else f'role {wanted}'} in {where}")


def _set_active(email: str, is_active: bool, data_dir: DataDir) -> None:
    settings = read_settings(data_dir=data_dir)
    make_data_dir(settings)
    account = event_loop.run(_switch(settings, email, is_active))
    say(f"{account.email} is {'let in' if is_active else 'kept out'}")


def _read_password() -> str:
    """From stdin, without the line's end; at a terminal, asked for twice and not shown."""
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    given = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(given) > _MOST_BYTES:
        raise InvalidInput("the password on stdin is too long")
    try:
        return given.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidInput("the password on stdin is not UTF-8") from None


async def _create(
    settings: "Settings", email: str, given: str | None, company: str | None, full_name: str
) -> "AccountInfo":
    from opsin.core.accounts import AccountInfo
    from opsin.core.datasets import require_text

    if company is not None:
        company = require_text(company, "company", 255)
    async with opened(settings) as people:
        made = await people.accounts.create(
            email, company=company, password=given, full_name=full_name
        )
        return AccountInfo(made, company or made.email, given is not None)


async def _list(settings: "Settings") -> "list[AccountInfo]":
    async with opened(settings) as people:
        return await people.accounts.listed()


async def _set_password(settings: "Settings", email: str, given: str) -> "Account":
    async with opened(settings) as people:
        account = await _found(people.accounts, email)
        await people.accounts.set_password(account.id, given)
        return account


async def _switch(settings: "Settings", email: str, is_active: bool) -> "Account":
    async with opened(settings) as people:
        account = await _found(people.accounts, email)
        return await people.accounts.set_active(account.id, is_active)


async def _change_role(
    settings: "Settings", email: str, role: "Role | None", company: str | None, dataset: str | None
) -> "Account":
    from opsin.core.role_grants import Holder

    async with opened(settings) as people:
        account, grants = await _found(people.accounts, email), people.grants
        if company is None:
            principal = as_caller(account.company_id)
        else:
            principal = await caller_for(people.access, company)
        holder = Holder(account.id)
        if dataset is None:
            await grants.set_role(principal, holder, role)
            return account
        dataset_id = await grants.dataset(principal, dataset)
        if role is None:
            await grants.revoke(principal, dataset_id, holder)
        else:
            await grants.grant(principal, dataset_id, holder, role)
        return account


async def _found(accounts: "Accounts", email: str) -> "Account":
    from opsin.core.accounts import clean_email

    found = await accounts.find_email(clean_email(email) or "")
    if found is None:
        raise NotFound(f"there is no account {email!r}")
    return found


def _described(one: "AccountInfo") -> dict[str, Any]:
    return {
        "id": one.account.id,
        "number": one.account.number,
        "email": one.account.email,
        "name": one.account.full_name,
        "company": one.company,
        "is_active": one.account.is_active,
        "has_password": one.has_password,
        "created_at": one.account.created_at,
    }
