"""What is known of the request that is being answered, wherever in the house it is asked."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Tells this request's log lines, spans and audit entries from others'; None outside of one."""
