"""Blob stores: bytes under a key, in local files, in S3 or in memory."""

from opsin.storage.blobs.base import (
    BlobStat,
    BlobStore,
    PresignedUpload,
    S3Options,
    StoredContent,
    check_key,
    content_key,
)
from opsin.storage.blobs.opening import open_blob_store

__all__ = [
    "BlobStat",
    "BlobStore",
    "PresignedUpload",
    "S3Options",
    "StoredContent",
    "check_key",
    "content_key",
    "open_blob_store",
]
