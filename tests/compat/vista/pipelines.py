"""Pipelines as they sign: the documented client's way, and that of the public server's scripts."""

import hashlib
import hmac
import json
import time
from typing import Any

import httpx

SECRET = "a7f3d9e2c4b8f1a6e9d4c2b7f5a8e3d1"
OLD_SECRET = "the-secret-before"


def hex_digest(message: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def documented(payload: Any, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Headers as the documented client makes them: compact JSON with sorted keys is signed."""
    message = json.dumps(payload, separators=(",", ":"), sort_keys=True)
    return _headers(hex_digest(message.encode(), secret), at)


def timestamped(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Headers as the public server's own scripts make them."""
    sent_at = str(int(time.time() if at is None else at))
    return _headers(f"sha256={hex_digest(f'{sent_at}.'.encode() + body, secret)}", float(sent_at))


def _headers(signature: str, at: float | None) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-ML-Signature": signature,
        "X-ML-Timestamp": str(int(time.time() if at is None else at)),
    }


class Pipeline:
    """One that signs in either dialect; every answer comes as it is."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        dialect: str = "documented",
        prefix: str = "/api",
        key: str | None = None,
    ) -> None:
        self.client = client
        self.dialect = dialect
        self.prefix = prefix
        self.user = {"X-API-Key": key} if key else {}

    async def create(self, image_id: str, /, **more: Any) -> httpx.Response:
        body = {"model_name": "yolo_v8", "model_version": "v8.0.0", "parameters": {}} | more
        url = f"{self.prefix}/images/{image_id}/analyses"
        content = json.dumps(body).encode()
        # Everything is signed where a key alone is not enough.
        signed = self._signed(body, content) if self.prefix == "/api-ml" else {}
        headers = {"Content-Type": "application/json"} | signed | self.user
        return await self.client.post(url, content=content, headers=headers)

    async def status(self, analysis_id: str, status: str, **more: Any) -> httpx.Response:
        return await self.send("PATCH", analysis_id, "status", {"status": status} | more)

    async def presign(self, analysis_id: str, body: Any) -> httpx.Response:
        return await self.send("POST", analysis_id, "artifacts/presign", body)

    async def bulk(self, analysis_id: str, annotations: Any) -> httpx.Response:
        return await self.send(
            "POST", analysis_id, "annotations:bulk", {"annotations": annotations}
        )

    async def finalize(self, analysis_id: str, **body: Any) -> httpx.Response:
        return await self.send("POST", analysis_id, "finalize", body)

    async def send(self, method: str, analysis_id: str, name: str, payload: Any) -> httpx.Response:
        url = f"{self.prefix}/analyses/{analysis_id}/{name}"
        body = json.dumps(payload).encode()
        headers = self._signed(payload, body) | (self.user if self.prefix != "/api" else {})
        return await self.client.request(method, url, content=body, headers=headers)

    def _signed(self, payload: Any, body: bytes) -> dict[str, str]:
        return documented(payload) if self.dialect == "documented" else timestamped(body)
