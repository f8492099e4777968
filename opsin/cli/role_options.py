"""What commands about people and keys say of roles: options, their meaning, and how it is shown."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from opsin.core.errors import InvalidInput
from opsin.core.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsin.core.access import Principal
    from opsin.core.role_grants import DatasetRole, RoleGrants

ROLES = ", ".join(role.value for role in Role)
NO_ROLE = "none"

RoleOption = Annotated[
    Role, typer.Option("--role", help="What may be done.", show_default=True, case_sensitive=False)
]
RoleOrNone = Annotated[
    str, typer.Argument(metavar="ROLE", help=f"{ROLES}; or {NO_ROLE}, which ends the one there is.")
]
DatasetOption = Annotated[
    str | None,
    typer.Option("--dataset", metavar="ID_OR_NAME", help="In this dataset, not in the company."),
]
DatasetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="ID_OR_NAME",
        help="In this dataset only; may be said several times.",
        show_default="everywhere in the company",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="WHEN",
        help="After days (30d) or hours (12h), or at a time (2027-01-31, 2027-01-31T12:00Z).",
        show_default="never",
    ),
]

_AFTER = re.compile(r"([1-9][0-9]{0,4})([dh])")


def role_or_none(text: str) -> Role | None:
    """The role of this name, None for `none`; InvalidInput for what is neither."""
    if text.strip().lower() == NO_ROLE:
        return None
    try:
        return Role(text.strip().lower())
    except ValueError:
        raise InvalidInput(f"{text!r} is no role; there are {ROLES}, and {NO_ROLE}") from None


def moment_of(text: str | None) -> datetime | None:
    """The time that `--expires` names, in UTC where it has no zone; InvalidInput."""
    if text is None:
        return None
    after = _AFTER.fullmatch(text.strip().lower())
    if after is not None:
        unit = timedelta(days=1) if after[2] == "d" else timedelta(hours=1)
        return datetime.now(UTC) + int(after[1]) * unit
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(f"{text!r} is no time: say 30d, 12h or 2027-01-31") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


async def dataset_ids(
    grants: "RoleGrants", principal: "Principal", wanted: "Iterable[str]"
) -> list[str]:
    """The ids of the datasets that are named; NotFound, InvalidInput where a name is of several."""
    return [await grants.dataset(principal, one) for one in wanted]


def roles_text(role: str | None, datasets: "Iterable[DatasetRole]") -> str:
    """What somebody may do, for people: the role, and how many datasets have one of their own."""
    count = len(list(datasets))
    if not count:
        return role or NO_ROLE
    more = f"{count} dataset" if count == 1 else f"{count} datasets"
    return f"{role}, and {more}" if role else more
