"""Signed links, and the secret that several processes share."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from opsin.core.errors import ConfigurationError, Forbidden
from opsin.core.links import Links, load_or_create_secret

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LINKS = Links(b"s" * 32)


def opened(link: str) -> tuple[str, dict[str, str]]:
    """Path and query as a web framework hands them on: decoded."""
    parts = urlsplit(link)
    return unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))


@pytest.mark.parametrize("path", ["/blobs/a", "/blobs/a b+c%2F?&=#é/写真.png", "/"])
def test_a_signed_link_holds(path: str) -> None:
    link = LINKS.sign(path, expires_at=LATER, width="10", name="ä&b=c d+", empty="")
    got, query = opened(link)
    assert got == path
    assert query["name"] == "ä&b=c d+"
    LINKS.verify(got, query, NOW)


def test_the_order_of_the_query_does_not_matter() -> None:
    path, query = opened(LINKS.sign("/x", expires_at=LATER, b="2", a="1"))
    LINKS.verify(path, dict(reversed(query.items())), NOW)


def test_it_expires() -> None:
    path, query = opened(LINKS.sign("/x", expires_at=LATER))
    LINKS.verify(path, query, LATER - timedelta(seconds=1))
    for moment in (LATER, LATER + timedelta(days=400)):
        with pytest.raises(Forbidden, match="expired"):
            LINKS.verify(path, query, moment)


def test_nothing_can_be_changed() -> None:
    path, query = opened(LINKS.sign("/x", expires_at=LATER, width="10"))
    without_width = {name: value for name, value in query.items() if name != "width"}
    without_signature = {name: value for name, value in query.items() if name != "signature"}
    forged = [
        ("/y", query),
        ("/x/", query),
        (path, query | {"width": "11"}),
        (path, query | {"height": "1"}),
        (path, query | {"expires": "99999999999"}),
        (path, query | {"expires": "never"}),
        (path, query | {"signature": query["signature"].upper()}),
        (path, query | {"signature": "é\ud800"}),
        (path, query | {"signature": ""}),
        (path, without_width),
        (path, without_signature),
        (path, {}),
        # The same characters, cut differently between path, names and values.
        (path, without_width | {"widt": "h10"}),
    ]
    for changed_path, changed in forged:
        with pytest.raises(Forbidden, match="not valid"):
            LINKS.verify(changed_path, changed, NOW)


def test_another_secret_gives_another_signature() -> None:
    path, query = opened(LINKS.sign("/x", expires_at=LATER))
    with pytest.raises(Forbidden):
        Links(b"t" * 32).verify(path, query, NOW)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="signature"):
        LINKS.sign("/x", expires_at=LATER, signature="x")
    with pytest.raises(ValueError, match="time zone"):
        LINKS.sign("/x", expires_at=LATER.replace(tzinfo=None))
    with pytest.raises(ConfigurationError):
        Links(b"short")


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    secret = load_or_create_secret(path)
    assert len(secret) == 64
    assert load_or_create_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]
    assert load_or_create_secret(tmp_path / "another") != secret


def test_an_own_secret_is_used_and_a_short_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x" * 40 + "\n")
    assert load_or_create_secret(path) == b"x" * 40
    path.write_text("short")
    with pytest.raises(ConfigurationError):
        load_or_create_secret(path)


def test_an_unusable_place_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "secret"):
        with pytest.raises(ConfigurationError) as caught:
            load_or_create_secret(path)
        assert str(tmp_path) not in str(caught.value)


RACER = """
import sys, time
from pathlib import Path
from opsin.core.links import load_or_create_secret
print("ready", flush=True)
sys.stdin.readline()
print(load_or_create_secret(Path(sys.argv[1])).decode(), flush=True)
"""


def test_racing_processes_get_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = {racer.communicate(timeout=30)[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 4
    assert answers == {path.read_text().strip()}
