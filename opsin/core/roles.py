"""What callers may do: permissions, the roles that bundle them, and the rights of one caller."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Permission(StrEnum):
    """One kind of thing that a caller may be allowed to do."""

    READ = "read"
    """See images, analyses and what belongs to them."""
    ANNOTATE = "annotate"
    """Classify, comment, put images away and bring them back."""
    UPLOAD = "upload"
    """Bring images in."""
    ANALYZE = "analyze"
    """Have operations run, stored or answered at once."""
    REPORT = "report"
    """Tell of analyses that were made elsewhere."""
    ADMIN = "admin"
    """Everything else: datasets, keys, people, webhooks, applications, deletion for good, audit."""


class Role(StrEnum):
    """A named bundle of permissions."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    PIPELINE = "pipeline"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        return _OF_ROLE[self]


_OF_ROLE: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Permission.READ}),
        Role.ANNOTATOR: frozenset(
            {Permission.READ, Permission.ANNOTATE, Permission.UPLOAD, Permission.ANALYZE}
        ),
        Role.PIPELINE: frozenset(
            {Permission.READ, Permission.UPLOAD, Permission.ANALYZE, Permission.REPORT}
        ),
        Role.ADMIN: frozenset(Permission),
    }
)

_NOTHING: frozenset[Permission] = frozenset()


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may do in the company they act for: everywhere, and more in some datasets."""

    company: frozenset[Permission] = _NOTHING
    datasets: Mapping[str, frozenset[Permission]] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    def allow(self, permission: Permission, dataset_id: str | None = None) -> bool:
        """In that dataset; without one, in the company as a whole."""
        if permission in self.company:
            return True
        return dataset_id is not None and permission in self.datasets.get(dataset_id, _NOTHING)

    @property
    def readable(self) -> tuple[str, ...] | None:
        """The datasets that the caller sees; None for all that the company has."""
        if Permission.READ in self.company:
            return None
        return tuple(
            sorted(one for one, given in self.datasets.items() if Permission.READ in given)
        )

    def limited_by(self, other: "Rights") -> "Rights":
        """What both allow, as for the key of an account: never more than the account itself."""
        if self is ALL_RIGHTS:
            return other
        if other is ALL_RIGHTS:
            return self
        company = self.company & other.company
        named = {*self.datasets, *other.datasets}
        datasets = {one: self._in(one) & other._in(one) for one in named}
        return Rights(
            company,
            MappingProxyType({one: given for one, given in datasets.items() if given - company}),
        )

    def _in(self, dataset_id: str) -> frozenset[Permission]:
        return self.company | self.datasets.get(dataset_id, _NOTHING)


ALL_RIGHTS = Rights(frozenset(Permission))
"""Of the operator, of dev mode's local user, and of every administrator of a company."""


def permissions_of(role: str | None) -> frozenset[Permission]:
    """What a stored role gives; nothing without one, or with one that is not known here."""
    try:
        return _NOTHING if role is None else Role(role).permissions
    except ValueError:
        return _NOTHING


def rights_of(
    company: frozenset[Permission], dataset_roles: Iterable[tuple[str, str]] = ()
) -> Rights:
    """The rights of somebody with these permissions in the company, and roles in datasets by id."""
    if company == ALL_RIGHTS.company:
        return ALL_RIGHTS
    datasets = {dataset_id: permissions_of(role) for dataset_id, role in dataset_roles}
    more = {one: given for one, given in datasets.items() if given - company}
    return Rights(company, MappingProxyType(more))
