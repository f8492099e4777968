"""What a hub says of files, and what its refusals mean."""

import hashlib

import httpx
import pytest

from opsin.core.contract import Repository
from opsin.core.errors import ConfigurationError, FetchFailed
from opsin.core.models.hub import Hub, HubFile, _is_same_hub
from tests.core.hub_server import COMMIT, CONFIG, FILES, REPOSITORY, WEIGHTS, FakeHub
from tests.core.model_stores import hub as hub

TINY = Repository(REPOSITORY, "main", tuple(FILES))


def refusal(hub: FakeHub, origin: Repository = TINY, token: str | None = None) -> str:
    with pytest.raises(FetchFailed) as caught:
        Hub(hub.url, token).listing(origin, "tiny")
    assert hub.url not in caught.value.message
    return caught.value.message


def test_a_listing_tells_size_digest_and_commit(hub: FakeHub) -> None:
    listing = Hub(f"{hub.url}/").listing(TINY, "tiny")
    assert listing.commit == COMMIT
    at = f"{hub.url}/{REPOSITORY}/resolve/{COMMIT}"
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert listing.files == (
        HubFile("config.json", f"{at}/config.json", len(CONFIG), None),
        HubFile("model.safetensors", f"{at}/model.safetensors", len(WEIGHTS), digest),
    )
    assert hub.gets == []


def test_revisions_and_files_are_quoted(hub: FakeHub) -> None:
    hub.branches["refs/pr/1"] = COMMIT
    hub.commits[COMMIT]["a/b+c.txt"] = b"x"
    listing = Hub(hub.url).listing(Repository(REPOSITORY, "refs/pr/1", ("a/b+c.txt",)), "tiny")
    assert (listing.commit, listing.files[0].size) == (COMMIT, 1)


def test_what_is_not_there_is_named(hub: FakeHub) -> None:
    other = Repository(REPOSITORY, "v9", tuple(FILES))
    assert refusal(hub, other) == f"the repository '{REPOSITORY}' has no revision 'v9'"
    more = Repository(REPOSITORY, "main", ("config.json", "vocab.txt"))
    absent = f"the repository '{REPOSITORY}' has no file 'vocab.txt' at revision 'main'"
    assert refusal(hub, more) == absent
    hub.plain = True
    assert refusal(hub, more) == absent


def test_a_repository_that_is_private_or_not_there(hub: FakeHub) -> None:
    other = Repository("nobody/nothing", "main", ("config.json",))
    expected = "the hub has no public repository 'nobody/nothing'; a private one needs"
    assert refusal(hub, other).startswith(expected)
    expected = "the hub has no repository 'nobody/nothing' that OPSIN_HUB_TOKEN may read"
    assert refusal(hub, other, "hf_token") == expected


def test_a_gated_repository(hub: FakeHub) -> None:
    hub.token = "hf_right"
    assert "is gated: accept its terms on the hub, set OPSIN_HUB_TOKEN" in refusal(hub)
    told = refusal(hub, token="hf_wrong")
    assert "is gated, and OPSIN_HUB_TOKEN has no access" in told and "hf_wrong" not in told
    assert Hub(hub.url, " hf_right\n").listing(TINY, "tiny").commit == COMMIT


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "too many requests"), (500, "HTTP 500 when asked for 'config.json'"), (403, "public")],
)
def test_other_refusals(hub: FakeHub, status: int, words: str) -> None:
    hub.status = status
    assert words in refusal(hub)


def test_a_hub_that_is_not_there() -> None:
    with pytest.raises(FetchFailed, match=r"could not be asked for 'tiny' \(ConnectError\)"):
        Hub("http://127.0.0.1:1").listing(TINY, "tiny")


@pytest.mark.parametrize("url", ["", "huggingface.co", "file:///models", "https://a/?b=c"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_HUB_URL"):
        Hub(url)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "schlüssel"])
def test_a_token_that_would_break_the_header_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigurationError, match="OPSIN_HUB_TOKEN") as caught:
        Hub("https://a.invalid", token)
    assert token not in caught.value.message
    assert "hf_secret" not in repr(Hub("https://a.invalid", "hf_secret"))


@pytest.mark.parametrize(
    ("here", "target", "same"),
    [
        ("https://hub.invalid/a", "https://hub.invalid/b", True),
        ("http://hub.invalid/a", "https://hub.invalid/a", True),
        ("https://hub.invalid/a", "http://hub.invalid/a", False),
        ("https://hub.invalid/a", "https://cdn.hub.invalid/a", False),
        ("http://hub.invalid:80/a", "http://hub.invalid:8080/a", False),
    ],
)
def test_what_counts_as_the_hub_itself(here: str, target: str, same: bool) -> None:
    assert _is_same_hub(httpx.URL(here), httpx.URL(target)) is same
