"""Sealed texts: unreadable, for one use, and of one server's key."""

import pytest

from opsin.core.errors import ConfigurationError
from opsin.core.seals import Seals

KEY, OTHER = b"a secret of this server, long enough", b"a secret of another server, long enough"


@pytest.mark.parametrize("text", ["", "p:w", "Zürich ☃", "x" * 10_000])
def test_what_is_sealed_opens_again(text: str) -> None:
    assert Seals(KEY).open(Seals(KEY).seal(text, "a webhook"), "a webhook") == text


def test_no_two_seals_are_alike_and_none_shows_the_text() -> None:
    one, other = (Seals(KEY).seal("very secret", "a webhook") for _ in range(2))
    assert one != other and "secret" not in one


def test_it_opens_with_the_same_key_for_the_same_thing_only() -> None:
    sealed = Seals(KEY).seal("very secret", "a webhook")
    with pytest.raises(ConfigurationError, match="OPSIN_SECRET_KEY"):
        Seals(OTHER).open(sealed, "a webhook")
    with pytest.raises(ConfigurationError):
        Seals(KEY).open(sealed, "another webhook")


def test_a_changed_seal_does_not_open() -> None:
    sealed = Seals(KEY).seal("very secret", "a webhook")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(ConfigurationError):
        Seals(KEY).open(changed, "a webhook")
