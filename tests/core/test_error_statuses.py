"""Every error has a status, and headers where HTTP has some for it."""

from collections.abc import Iterator

import pytest

from opsin.core import errors
from opsin.core.error_statuses import STATUS, headers_of, status_of


def kinds(kind: type[errors.OpsinError] = errors.OpsinError) -> Iterator[type[errors.OpsinError]]:
    """The error tree, without what tests and plugins add to it."""
    if kind.__module__ == errors.__name__:
        yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[errors.OpsinError]) -> None:
    """Its own, or that of the class above: none falls through to the root."""
    assert any(one in STATUS for one in kind.__mro__[:2])


def test_the_nearest_class_counts() -> None:
    assert status_of(errors.BlobNotFound("gone")) == 404
    assert status_of(errors.StorageError("down")) == 503
    assert status_of(errors.AddressNotAllowed("no")) == 400
    assert status_of(errors.LimitReached("full")) == 409


def test_headers() -> None:
    assert headers_of(errors.Overloaded("full", retry_after=2.6)) == {"retry-after": "3"}
    assert headers_of(errors.Overloaded("full", retry_after=0.2)) == {"retry-after": "1"}
    assert headers_of(errors.Throttled("often", retry_after=29.1)) == {"retry-after": "30"}
    assert headers_of(errors.Unauthenticated("who")) == {"www-authenticate": "Bearer"}
    assert headers_of(errors.NotFound("nothing")) == {}
