"""Notes who did what, in the transaction that does it."""

from collections.abc import Sequence
from typing import Any

from opsin.core.principal import Principal
from opsin.core.request_context import request_id
from opsin.storage.audit import NewAuditEntry
from opsin.storage.database import Database, Transaction

_MOST_IDS = 100
_LONGEST_NAME = 320


def note(
    transaction: Transaction,
    principal: Principal,
    action: str,
    subject: tuple[str, str] | None = None,
    *,
    dataset_id: str | None = None,
    **details: Any,
) -> None:
    """`action` is `noun.verb` (`dataset.delete`), `subject` the kind and id of what it was done to.

    `details` say what changed, never a secret.  Who did it stands in the principal.
    """
    kind, identity = subject or (None, None)
    transaction.audit(
        NewAuditEntry(
            company_id=principal.company_id,
            action=action,
            actor_kind=principal.kind,
            actor_name=principal.name[:_LONGEST_NAME],
            actor_id=principal.account_id or principal.key_id,
            key_id=principal.key_id,
            subject_kind=kind,
            subject_id=identity,
            dataset_id=dataset_id,
            details=details,
            request_id=request_id.get(),
        )
    )


def note_many(
    transaction: Transaction,
    principal: Principal,
    action: str,
    kind: str,
    ids: Sequence[str],
    *,
    dataset_id: str | None = None,
    **details: Any,
) -> None:
    """One line for all of one request: their number, and the first of their ids."""
    if not ids:
        return
    if len(ids) == 1:
        note(transaction, principal, action, (kind, ids[0]), dataset_id=dataset_id, **details)
        return
    some = list(ids[:_MOST_IDS])
    note(transaction, principal, action, dataset_id=dataset_id, count=len(ids), ids=some, **details)


async def note_read(
    database: Database,
    principal: Principal,
    action: str,
    subject: tuple[str, str],
    *,
    dataset_id: str | None = None,
    **details: Any,
) -> None:
    """Note what only reads, such as an export, in a transaction of its own, before it begins."""
    async with database.write() as transaction:
        note(transaction, principal, action, subject, dataset_id=dataset_id, **details)
