"""Every table, for SQLite and PostgreSQL alike: the one place that they are imported from.

Ids are UUIDv7 as text (native `uuid` on PostgreSQL), so ordering by id is ordering by creation.
Times are UTC.  Every row that a caller can reach carries `company_id`, its tenant.
"""

from opsin.storage.column_types import Id, Json, UtcDateTime
from opsin.storage.tables.columns import metadata, role_column
from opsin.storage.tables.log import events
from opsin.storage.tables.people import accounts, api_keys, companies, dataset_roles
from opsin.storage.tables.pictures import batches, datasets, images, subjects
from opsin.storage.tables.references import classifiers, collection_members, collections
from opsin.storage.tables.results import STATUSES, analyses, annotations, artifacts, embeddings

__all__ = [
    "STATUSES",
    "Id",
    "Json",
    "UtcDateTime",
    "accounts",
    "analyses",
    "annotations",
    "api_keys",
    "artifacts",
    "batches",
    "classifiers",
    "collection_members",
    "collections",
    "companies",
    "dataset_roles",
    "datasets",
    "embeddings",
    "events",
    "images",
    "metadata",
    "role_column",
    "subjects",
]
