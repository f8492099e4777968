"""The rows that people add to images and datasets, those of another company as traps among them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opsin.core.deletion_log import DeletionAction
from opsin.storage import curation, tables
from tests.graphql.differential.odd_values import MOMENTS

if TYPE_CHECKING:
    from tests.graphql.differential.rows import Rows, Tenant

_SOMEBODY = "01890000-0000-7000-8000-0000000000aa"


def add_curation(
    rows: "Rows", other: "Tenant", texts: Iterator[str], objects: Iterator[dict[str, Any]]
) -> None:
    """Classes, classifications, comments, deletions and metadata."""
    tenant = rows.tenant
    dataset, second, theirs = (
        tenant.id(tables.datasets),
        tenant.id(tables.datasets, 1),
        other.id(tables.datasets),
    )
    for number, parent in enumerate((dataset, dataset, second, theirs)):
        rows.add(
            curation.image_classes,
            dataset_id=parent,
            name=next(texts),
            description=next(texts) if number % 2 else None,
            updated_at=MOMENTS[number] if number else None,
        )
    images = [tenant.id(tables.images, n) for n in (0, 0, 1, 2)] + [other.id(tables.images)]
    mine, foreign = tenant.id(curation.image_classes), other.id(curation.image_classes)
    for number, image in enumerate(images):
        author = _SOMEBODY if number % 2 else tenant.id(tables.companies)
        # The last is of the other company's image, as no use case would have it.
        rows.add(
            curation.image_classifications,
            image_id=image,
            class_id=foreign if number == 4 else mine,
            created_by=author,
            created_by_name=next(texts) if number else None,
        )
        rows.add(
            curation.image_comments,
            image_id=image,
            text=next(texts),
            author_id=author,
            author_name=next(texts),
            updated_at=MOMENTS[number] if number % 2 else None,
        )
    for number, parent in enumerate((dataset, dataset, second, theirs)):
        rows.add(
            curation.image_deletions,
            dataset_id=parent,
            image_id=images[number],
            filename=next(texts),
            action=list(DeletionAction)[number].value,
            actor=next(texts),
            reason=next(texts) if number % 2 else None,
        )
    # In no order of letters, and with values of every kind.
    keys = ("b", "Z", "a b", 'quote"d', "\u00e9\U0001f40b", "\uffff", "")
    for number, key in enumerate(keys):
        values: list[Any] = [next(objects), None, next(texts), 10**40, 1e22, True, []]
        rows.add(curation.dataset_metadata, dataset_id=dataset, key=key, value=values[number])
    rows.add(curation.dataset_metadata, dataset_id=theirs, key=tenant.mark, value=tenant.mark)
