"""What callers learn of an error: our message and stable code, or nothing but a reference."""

import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension
from strawberry.pydantic import InputValidationError
from strawberry.types import ExecutionResult

from opsin.core.errors import InvalidParams, OpsinError, Overloaded

log = logging.getLogger(__name__)

VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"


class PublicErrors(SchemaExtension):
    """Gives every error of a response its code; masks the ones nobody meant to raise."""

    async def on_operation(self) -> AsyncIterator[None]:  # type: ignore[override]  # as documented
        yield
        result = self.execution_context.result
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = [public_error(error) for error in result.errors]


def public_error(error: GraphQLError) -> GraphQLError:
    """The error as a caller may see it, with `extensions.code`."""
    original = _original(error)
    if isinstance(original, OpsinError):
        return _replace(error, original.message, _extensions(original))
    if isinstance(original, InputValidationError):
        return _replace(error, str(original), {"code": InvalidParams.code})
    if original is None:  # the document itself: syntax, validation, variables, limits
        code = (error.extensions or {}).get("code", VALIDATION_FAILED)
        return _replace(error, error.message, {"code": code})
    reference = uuid.uuid4().hex[:12]
    log.error("unexpected error %s", reference, exc_info=original)
    return _replace(
        error,
        f"Something unexpected failed; the server's log tells more under {reference}",
        {"code": OpsinError.code, "reference": reference},
    )


def _original(error: GraphQLError) -> BaseException | None:
    original: BaseException | None = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    return original


def _extensions(error: OpsinError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if isinstance(error, Overloaded):
        extensions["retryAfter"] = error.retry_after
    return extensions


def _replace(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
