"""A server that wants keys and signatures, a project with a picture, and quick clients for it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from opsin.client import Client, Retries
from tests.client.servers import SECRET, Proxy, Server, proxy_of
from tests.pictures import noise_jpeg

QUICK = Retries(attempts=6, first=0.01, longest=0.05)


@dataclass(frozen=True, slots=True)
class Site:
    """A server and one of its projects."""

    server: Server
    project: str

    def client(self, **changes: Any) -> Client:
        given: dict[str, Any] = {"url": self.server.url, "api_key": self.server.key}
        return Client(**(given | {"secret": SECRET, "retries": QUICK} | changes))

    def image(self, seed: int = 0) -> str:
        """The id of a picture that is there, or is now."""
        with self.client() as client:
            picture = noise_jpeg(64, 48, seed=seed)
            return client.upload_image(self.project, picture, f"{seed}.jpg").image.id


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OPSIN_", "ML_"))]:
            patch.delenv(name)
        made = Server(tmp_path_factory.mktemp("server"))
        made.start()
        yield made
        made.kill()


@pytest.fixture(scope="session")
def made_site(server: Server) -> Site:
    with Client(server.url, api_key=server.key) as client:
        project = client.create_project("pictures", description="for tests")
        assert project in client.projects()
        assert (project.group, project.description) == ("ours", "for tests")
        return Site(server, project.id)


@pytest.fixture
def site(made_site: Site) -> Site:
    """With its server up, whatever became of it in the test before."""
    made_site.server.ensure()
    return made_site


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with site.client() as made:
        yield made


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    with proxy_of(site.server.url) as made:
        yield made
