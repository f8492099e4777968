"""Addresses of files, signed, as callers get them."""

from datetime import UTC, datetime, timedelta

from opsin.graphql.context import Context

_LINK_HOURS = 2


def signed_link(context: Context, path: str, **parameters: str) -> str:
    """A signed address; it changes once an hour only, so that browsers can keep what it names."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    expires_at = hour + timedelta(hours=_LINK_HOURS)
    links = context.use_cases.links
    return context.base_url + links.sign(path, expires_at=expires_at, **parameters)
