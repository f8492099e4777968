"""The S3 client: how it is set up, and our errors for its own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
)
from botocore.loaders import create_loader

from opsin.core.errors import BlobNotFound, ConfigurationError, StorageError
from opsin.storage.blobs.base import S3Options

_MISSING = {"404", "NoSuchKey", "NotFound"}
_UNSATISFIABLE = {"416", "InvalidRange"}
_REASONS = {
    "NoSuchBucket": "its bucket does not exist",
    "403": "access was refused",
    "AccessDenied": "access was refused",
    "InvalidAccessKeyId": "access was refused",
    "SignatureDoesNotMatch": "access was refused",
}


class OutOfRangeError(StorageError):
    """The range begins behind the blob's last byte."""


@contextmanager
def translated() -> Iterator[None]:
    """Our errors for the client's, whose texts name hosts, buckets and keys."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise BlobNotFound("there is no such stored file") from error
        if code in _UNSATISFIABLE:
            raise OutOfRangeError("the range is not in the stored file") from error
        reason = _REASONS.get(code, "it answered with an error")
        raise StorageError(f"the S3 store failed: {reason}") from error
    except NoCredentialsError as error:
        raise ConfigurationError("S3 needs an access key id and a secret access key") from error
    except (BotoCoreError, aiohttp.ClientError, OSError) as error:
        raise StorageError("the S3 store failed: it could not be reached") from error


def new_client(options: S3Options, endpoint_url: str | None) -> Any:
    """A client, as an async context manager; connects to nothing before its first request."""
    if options.path_style is None:
        addressing = "auto" if endpoint_url is None else "path"
    else:
        addressing = "path" if options.path_style else "virtual"
    config = AioConfig(
        # Without it presigned URLs of some regions get the old signature, without content type.
        signature_version="s3v4",
        s3={"addressing_style": addressing},
        # The newer default adds checksum trailers that many S3-compatible services refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=64,
        retries={"total_max_attempts": 3, "mode": "standard"},
    )
    session = AioSession()
    session.register_component("data_loader", _loader())
    return session.create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=options.region,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key,
        aws_session_token=options.session_token,
        config=config,
    )


@cache
def _loader() -> Any:
    # Holds the parsed description of S3: a second client is made in 4 ms instead of 55.
    return create_loader()


async def ensure_bucket(client: Any, bucket: str, region: str) -> None:
    """Create the bucket unless it is there, also when another process is just as fast."""
    with suppress(BlobNotFound), translated():
        await client.head_bucket(Bucket=bucket)
        return
    # Amazon's first region, and services that have only one, take no location.
    placed = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with translated(), suppress(client.exceptions.BucketAlreadyOwnedByYou):
        await client.create_bucket(
            Bucket=bucket, **({} if region in ("us-east-1", "auto") else placed)
        )
