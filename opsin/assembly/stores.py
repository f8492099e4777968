"""The blob store, as the settings say."""

from opsin.settings import Settings
from opsin.storage.blobs import BlobStore, S3Options, open_blob_store


def open_blobs(settings: Settings) -> BlobStore:
    """The store of files; connects to nothing yet."""
    options = S3Options(
        endpoint_url=settings.resolved_s3_endpoint,
        public_endpoint_url=settings.s3_public_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key,
        secret_access_key=settings.s3_secret_key,
        create_bucket=settings.creates_bucket,
    )
    return open_blob_store(settings.resolved_blob_url, s3=options)
