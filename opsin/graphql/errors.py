"""What callers learn of an error: our message and stable code, or nothing but a reference."""

import logging
from collections.abc import Iterator
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from opsin.core.errors import OpsinError, Overloaded, StorageError, Throttled
from opsin.core.request_context import request_id
from opsin.core.unexpected import logged

log = logging.getLogger(__name__)

BAD_REQUEST = "BAD_REQUEST"
PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"
NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
PERSISTED_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
PERSISTED_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"

CODES = {
    BAD_REQUEST: "the request is not GraphQL over HTTP: no query, an unknown operation name, ...",
    PARSE_FAILED: "the document is not GraphQL",
    VALIDATION_FAILED: "the document or its variables do not fit the schema",
    TOO_COMPLEX: "the document is over a limit: bytes, tokens, fields, nesting, rows, ...",
    NOT_TRUSTED: "only documents of the server's manifest are served, and this is none of them",
    PERSISTED_NOT_FOUND: "the server's manifest has no document of this id: send its text",
    PERSISTED_NOT_SUPPORTED: "the server has no manifest of documents: send their texts",
}
"""The codes of this door, beside those of the errors of the house."""

_REQUEST_ERRORS = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)
# The parser of graphql-core ends so when it meets its limit of tokens or of nesting.
_LIMIT_MET = "Parsing aborted."


def public_error(error: GraphQLError) -> GraphQLError:
    """The error as a caller may see it, with `extensions.code`."""
    for cause in _causes(error):
        if isinstance(cause, OpsinError):
            if isinstance(cause, StorageError):
                log.error("the storage failed", exc_info=cause)
            return _replace(error, cause.message, _extensions(cause))
        if isinstance(cause, _REQUEST_ERRORS):
            return _replace(error, error.message or "No query was sent", {"code": BAD_REQUEST})
        if isinstance(cause, ValueError) and error.path is None and error.nodes:
            # Said of a place in the document, before anything ran: a number of 5000 digits, ...
            return _replace(error, "This value cannot be read", {"code": VALIDATION_FAILED})
        if not isinstance(cause, GraphQLError):
            return _masked(error, cause)
    code = _document_code(error)
    return _masked(error, error) if code is None else _replace(error, error.message, {"code": code})


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it stands for, from the outside in."""
    while error is not None:
        yield error
        error = error.original_error if isinstance(error, GraphQLError) else None


def _document_code(error: GraphQLError) -> str | None:
    """The code of graphql-core's own error; None when the document was not at fault."""
    if isinstance(error, GraphQLSyntaxError):
        return TOO_COMPLEX if error.message.endswith(_LIMIT_MET) else PARSE_FAILED
    at_fault = (
        error.path is None  # nothing had been begun
        or error.message.startswith("Argument ")
        or any(isinstance(cause, StrawberryInputCoercionError) for cause in _causes(error))
    )
    return (error.extensions or {}).get("code", VALIDATION_FAILED) if at_fault else None


def _masked(error: GraphQLError, cause: BaseException) -> GraphQLError:
    reference = logged(cause)
    extensions = {"code": OpsinError.code, "reference": reference}
    if (identity := request_id.get()) is not None:
        extensions["requestId"] = identity
    return _replace(
        error,
        f"Something unexpected failed; the server's log tells more under {reference}",
        extensions,
    )


def _extensions(error: OpsinError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if isinstance(error, Overloaded | Throttled):
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
