"""A server for the Haut API that wants tokens, and people of two companies who call it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from opsin.assembly import Parts, assemble
from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.pictures import noise_jpeg

API = "/api/v1"
PASSWORD = "correct horse battery staple"
PICTURE = noise_jpeg()
ABSENT = "00000000-0000-7000-8000-000000000000"


def base64_text(picture: bytes = PICTURE) -> str:
    return base64.b64encode(picture).decode()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in, and what they do."""

    client: httpx.AsyncClient
    email: str
    number: int
    company_id: str
    token: str
    refresh_token: str

    @property
    def company(self) -> str:
        return f"{API}/companies/{self.company_id}"

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | request.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **request)

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer that must be 200."""
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def made(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a POST made; the body is left out where there is none."""
        answer = await self.ask("POST", path, **({} if body is None else {"json": body}))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def dataset(self, **fields: Any) -> str:
        """The path of a new dataset of selfies."""
        body = {"name": "My dataset name", "image_type_id": 1} | fields
        made = await self.made(f"{self.company}/datasets/", body)
        return f"{self.company}/datasets/{made['id']}"

    async def subject(self, dataset: str | None = None, **fields: Any) -> str:
        """The path of a new subject."""
        dataset = dataset or await self.dataset()
        made = await self.made(f"{dataset}/subjects/", {"name": "My subject name"} | fields)
        return f"{dataset}/subjects/{made['id']}"

    async def batch(self, subject: str | None = None, **fields: Any) -> str:
        """The path of a new batch."""
        subject = subject or await self.subject()
        made = await self.made(f"{subject}/batches/", fields or None)
        return f"{subject}/batches/{made['id']}"

    async def image(self, batch: str | None = None, **fields: Any) -> str:
        """The path of a new image."""
        batch = batch or await self.batch()
        made = await self.made(f"{batch}/images/", {"b64data": base64_text()} | fields)
        return f"{batch}/images/{made['id']}"


@dataclass(frozen=True, slots=True)
class Haut:
    """The server, the parts behind it, and one person of each company."""

    live: LiveServer
    parts: Parts
    ours: Person
    theirs: Person

    @property
    def client(self) -> httpx.AsyncClient:
        return self.live.client

    async def person(self, email: str, company: str) -> Person:
        """Somebody new, signed in by way of the API."""
        await self.parts.use_cases.accounts.create(
            email, company=company, password=PASSWORD, full_name="Some Body"
        )
        return await signed_in(self.client, email)


async def signed_in(client: httpx.AsyncClient, email: str) -> Person:
    answer = await client.post(f"{API}/login/", json={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return Person(
        client, email, body["id"], body["company_id"], body["access_token"], body["refresh_token"]
    )


def haut_settings(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"auth": "keys"} | changes)


@asynccontextmanager
async def haut_server(settings: Settings) -> AsyncIterator[Haut]:
    async with assemble(settings).running() as parts, serve(settings) as live:
        people = []
        for name in ("ours", "theirs"):
            email = f"{name}@example.com"
            await parts.use_cases.accounts.create(
                email, company=name, password=PASSWORD, full_name=f"Some Body of {name}"
            )
            people.append(await signed_in(live.client, email))
        yield Haut(live, parts, *people)


def fault(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The one error of an answer, whose form is checked."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    body = answer.json()
    assert set(body) <= {"type", "errors", "extra"} and {"type", "errors"} <= set(body), body
    expected = "validation_error" if status == 400 else "client_error"
    parses = status == 400 and body["errors"][0]["code"] == "parse_error"
    assert body["type"] == ("client_error" if parses else expected), body
    [error] = body["errors"]
    assert set(error) == {"code", "detail", "attr"} and error["detail"], body
    found: dict[str, Any] = error
    return found
