"""Which blob store a URL means."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from opsin.core.errors import ConfigurationError, InvalidInput, MissingExtra
from opsin.storage.blobs.base import BlobStore, S3Options, check_key
from opsin.storage.blobs.local import LocalBlobStore
from opsin.storage.blobs.memory import MemoryBlobStore

MAX_PREFIX_BYTES = 100
"""With the longest key it stays below the 1024 bytes of S3."""


def open_blob_store(url: str, *, s3: S3Options | None = None) -> BlobStore:
    """The store of `file:///folder`, `memory://` or `s3://bucket/prefix`; connects to nothing yet.

    Raises `ConfigurationError`, `MissingExtra` for S3 without its client library.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("the blob store's URL cannot be read") from None
    # The URL itself stays out of the messages: people put credentials into it.
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            "the blob store's URL takes no user, query or fragment; S3 has settings of its own"
        )
    match parts.scheme:
        case "file":
            if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
                raise ConfigurationError("a local blob store's URL is file:///absolute/folder")
            return LocalBlobStore(Path(unquote(parts.path)))
        case "memory":
            return MemoryBlobStore()
        case "s3":
            return _open_s3(parts.netloc, unquote(parts.path).strip("/"), s3 or S3Options())
        case scheme:
            raise ConfigurationError(
                f"a blob store's URL starts with file://, s3:// or memory://, not {scheme!r}"
            )


def _open_s3(bucket: str, prefix: str, options: S3Options) -> BlobStore:
    if not bucket:
        raise ConfigurationError("an S3 blob store's URL is s3://bucket or s3://bucket/prefix")
    if len(prefix.encode("utf-8")) > MAX_PREFIX_BYTES:
        raise ConfigurationError(f"an S3 prefix has at most {MAX_PREFIX_BYTES} bytes")
    if prefix:
        try:
            check_key(prefix)
        except InvalidInput as error:
            raise ConfigurationError(f"the S3 prefix cannot be used: {error}") from None
    if (options.access_key_id is None) != (options.secret_access_key is None):
        raise ConfigurationError("S3 needs both an access key id and a secret access key, or none")
    for endpoint in (options.endpoint_url, options.public_endpoint_url):
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ConfigurationError("an S3 endpoint is a URL that starts with http:// or https://")
    if find_spec("aiobotocore") is None:
        raise MissingExtra("storing files in S3", "s3")
    # Imported late: its client library is an extra, and takes a third of a second to import.
    from opsin.storage.blobs.s3 import S3BlobStore

    return S3BlobStore(bucket, prefix, options)
