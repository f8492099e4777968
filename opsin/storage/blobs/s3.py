"""Blobs in a bucket of S3, or of any service that speaks its protocol."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from opsin.core.errors import BlobNotFound, StorageError
from opsin.storage.blobs.base import (
    CHUNK_BYTES,
    BlobStat,
    BlobStore,
    PresignedUpload,
    S3Options,
    check_content_type,
    check_expiry,
    check_key,
    check_prefix,
    check_range,
)
from opsin.storage.blobs.s3_client import OutOfRangeError, ensure_bucket, new_client, translated

PART_BYTES = 8 * 1024 * 1024
"""Longer streams are sent in parts of this size; at most 10000 of them, 78 GiB."""


class S3BlobStore(BlobStore):
    """One bucket, under an optional prefix, through one client made at the first use."""

    takes_uploads = True

    def __init__(self, bucket: str, prefix: str, options: S3Options) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._stack = AsyncExitStack()
        self._connecting = asyncio.Lock()
        self._client: Any = None
        self._signer: Any = None

    async def put(
        self, key: str, chunks: AsyncIterable[bytes], *, content_type: str | None = None
    ) -> int:
        target = self._where(key)
        if check_content_type(content_type) is not None:
            target["ContentType"] = content_type
        client = await self._connect()
        waiting = bytearray()
        upload: _PartedUpload | None = None
        try:
            async for chunk in chunks:
                waiting += chunk
                # Longer than one part: exactly one part is still a single request.
                while len(waiting) > PART_BYTES:
                    if upload is None:
                        upload = await _PartedUpload.begin(client, target)
                    await upload.send(_take_part(waiting))
            if upload is None:
                size = len(waiting)
                with translated():
                    await client.put_object(**target, Body=_take_part(waiting))
                return size
            await upload.send(_take_part(waiting))
            await upload.finish()
        except BaseException:
            if upload is not None:
                # Shielded, because being cancelled is one of the ways to come here.
                await asyncio.shield(upload.abort())
            raise
        return upload.size

    async def open(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        source = self._where(key)
        check_range(start, end)
        client = await self._connect()
        if end is not None and end <= start:
            # An empty range cannot be asked for; a missing blob is missing all the same.
            if await self.stat(key) is None:
                raise BlobNotFound("there is no such stored file")
            return
        if start or end is not None:
            source["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            with translated():
                answer = await client.get_object(**source)
        except OutOfRangeError:
            return
        async with answer["Body"] as body:
            while True:
                with translated():
                    chunk: bytes = await body.read(CHUNK_BYTES)
                if not chunk:
                    break
                yield chunk

    async def stat(self, key: str) -> BlobStat | None:
        source = self._where(key)
        client = await self._connect()
        try:
            with translated():
                found = await client.head_object(**source)
        except BlobNotFound:
            return None
        modified: datetime = found["LastModified"].astimezone(UTC)
        return BlobStat(key, found["ContentLength"], modified, found.get("ContentType"))

    async def delete(self, key: str) -> None:
        target = self._where(key)
        client = await self._connect()
        # Some services report a missing blob, Amazon does not.
        with suppress(BlobNotFound), translated():
            await client.delete_object(**target)

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobStat, None]:
        query: dict[str, Any] = {
            "Bucket": self._bucket,
            "Prefix": self._prefix + check_prefix(prefix),
        }
        client = await self._connect()
        while True:
            with translated():
                page = await client.list_objects_v2(**query)
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(self._prefix)
                yield BlobStat(key, found["Size"], found["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    async def presign_put(
        self, key: str, *, content_type: str, expires_in: timedelta, size: int | None = None
    ) -> PresignedUpload | None:
        target = self._where(key) | {"ContentType": check_content_type(content_type)}
        headers = {"Content-Type": content_type}
        if size is not None:
            target["ContentLength"] = size
            headers["Content-Length"] = str(size)
        expires_at = datetime.now(UTC) + expires_in
        url = await self._presign("put_object", target, expires_in)
        return PresignedUpload(url, "PUT", headers, expires_at)

    async def presign_get(
        self,
        key: str,
        *,
        expires_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str | None:
        source = self._where(key)
        if filename is not None:
            source["ResponseContentDisposition"] = _attachment(filename)
        if check_content_type(content_type) is not None:
            source["ResponseContentType"] = content_type
        return await self._presign("get_object", source, expires_in)

    async def close(self) -> None:
        self._client = self._signer = None
        await self._stack.aclose()

    def _where(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    async def _presign(self, method: str, params: dict[str, Any], expires_in: timedelta) -> str:
        seconds = check_expiry(expires_in)
        await self._connect()
        with translated():
            url: str = await self._signer.generate_presigned_url(
                method, Params=params, ExpiresIn=seconds
            )
        return url

    async def _connect(self) -> Any:
        if self._client is None:
            async with self._connecting:
                if self._client is None:
                    await self._make_clients()
        return self._client

    async def _make_clients(self) -> None:
        async with AsyncExitStack() as stack:
            with translated():
                client = signer = await stack.enter_async_context(
                    new_client(self._options, self._options.endpoint_url)
                )
                if self._options.public_endpoint_url:
                    # The host is part of what is signed, so it cannot be swapped afterwards.
                    signer = await stack.enter_async_context(
                        new_client(self._options, self._options.public_endpoint_url)
                    )
            if self._options.create_bucket:
                await ensure_bucket(client, self._bucket, self._options.region)
            self._stack = stack.pop_all()
            self._client, self._signer = client, signer


class _PartedUpload:
    """A blob being sent in parts; nobody sees it before `finish`."""

    def __init__(self, client: Any, target: dict[str, Any]) -> None:
        self._client = client
        self._target = target
        self._parts: list[dict[str, Any]] = []
        self.size = 0

    @classmethod
    async def begin(cls, client: Any, target: dict[str, Any]) -> "_PartedUpload":
        with translated():
            begun = await client.create_multipart_upload(**target)
        where = {"Bucket": target["Bucket"], "Key": target["Key"]}
        return cls(client, where | {"UploadId": begun["UploadId"]})

    async def send(self, content: bytes) -> None:
        number = len(self._parts) + 1
        with translated():
            sent = await self._client.upload_part(**self._target, PartNumber=number, Body=content)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self.size += len(content)

    async def finish(self) -> None:
        with translated():
            await self._client.complete_multipart_upload(
                **self._target, MultipartUpload={"Parts": self._parts}
            )

    async def abort(self) -> None:
        """Give the parts back; the failure that led here is the one worth reporting."""
        with suppress(StorageError), translated():
            await self._client.abort_multipart_upload(**self._target)


def _take_part(waiting: bytearray) -> bytes:
    """The first part, gone from the buffer, so that no byte is held twice while it is sent."""
    part = bytes(memoryview(waiting)[:PART_BYTES])
    del waiting[:PART_BYTES]
    return part


def _attachment(filename: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
