"""Notes who did what, in the transaction that does it."""

from typing import Any

from opsin.core.access import Principal
from opsin.core.request_context import request_id
from opsin.storage.audit import NewAuditEntry
from opsin.storage.database import Transaction


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
            actor_name=principal.name,
            actor_id=principal.account_id or principal.key_id,
            subject_kind=kind,
            subject_id=identity,
            dataset_id=dataset_id,
            details=details,
            request_id=request_id.get(),
        )
    )
