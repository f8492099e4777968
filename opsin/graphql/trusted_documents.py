"""Documents that an operator has named in a manifest: asked for by id, and perhaps the only ones.

Manifests are those that clients' build tools write: Apollo's `persisted-query-manifest` and the
plain map of Relay's compiler and graphql-codegen, id to text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    specified_rules,
)
from strawberry.schema.schema import validate_document

from opsin.core.errors import ConfigurationError
from opsin.graphql.errors import (
    NOT_TRUSTED,
    PERSISTED_NOT_FOUND,
    PERSISTED_NOT_SUPPORTED,
    TOO_COMPLEX,
)
from opsin.graphql.known_documents import Documents
from opsin.graphql.limits import Limits, excesses
from opsin.storage.json_text import parse_json

SETTING = "OPSIN_GRAPHQL_DOCUMENTS"

_APOLLO_FORMAT = "apollo-persisted-query-manifest"
_HASH_PREFIX = "sha256:"


def named_document(members: Mapping[str, Any]) -> str | None:
    """The id of a document that a request names: by `documentId`, or as Apollo Client does it."""
    named = members.get("documentId")
    if named is None:
        extensions = members.get("extensions")
        persisted = extensions.get("persistedQuery") if isinstance(extensions, Mapping) else None
        named = persisted.get("sha256Hash") if isinstance(persisted, Mapping) else None
    return named.removeprefix(_HASH_PREFIX) if isinstance(named, str) else None


class TrustedDocuments:
    """The documents of a manifest by their ids; with `only`, no other is served."""

    def __init__(self, texts: Mapping[str, str] | None = None, *, only: bool = False) -> None:
        self._texts = {
            name.removeprefix(_HASH_PREFIX): text for name, text in (texts or {}).items()
        }
        self._allowed = frozenset(self._texts.values()) if only else None

    def text(self, members: Mapping[str, Any]) -> Any:
        """The text of the document that a request names, else the `query` that it sent.

        Raises GraphQLError when it names one that is not here and sends no text: a client that
        sends ids on the chance of it then sends the text.
        """
        sent = members.get("query")
        if "documentId" not in members and "extensions" not in members:
            return sent
        named = named_document(members)
        if named is None:
            return sent
        text = self._texts.get(named, sent)
        if not text:
            raise not_found(supported=bool(self._texts))
        return text

    def allows(self, text: str) -> bool:
        return self._allowed is None or text in self._allowed

    def prepare(self, schema: GraphQLSchema, limits: Limits, documents: Documents) -> None:
        """Parse and validate them all for good; ConfigurationError for one that does not fit."""
        for name, text in self._texts.items():
            try:
                document = parse(text)
            except GraphQLError as error:
                raise _unfit(name, None, error) from None
            errors = list(excesses(document, limits))
            if errors := errors or validate_document(schema, document, tuple(specified_rules)):
                raise _unfit(name, document, errors[0])
            documents.keep(text, document)


class DocumentGate:
    """What a document's text must be before it is parsed, however it came: short, and trusted."""

    def __init__(self, trusted: TrustedDocuments, *, max_bytes: int) -> None:
        self._trusted = trusted
        self._max_bytes = max_bytes

    def refusal(self, query: str | None) -> GraphQLError | None:
        """The error with which a document is refused, if it is."""
        if not query:
            return None
        # A character takes at most four bytes: most documents need not be encoded to be counted.
        if len(query) * 4 > self._max_bytes:
            size = len(query.encode(errors="surrogatepass"))
            if size > self._max_bytes:
                message = f"The document has {size} bytes and may have {self._max_bytes}"
                return GraphQLError(message, extensions={"code": TOO_COMPLEX})
        if not self._trusted.allows(query):
            message = "Only the documents that this server knows by their ids are served"
            return GraphQLError(message, extensions={"code": NOT_TRUSTED})
        return None


def not_found(*, supported: bool) -> GraphQLError:
    """What Apollo Client understands: send the text, or stop sending ids at all."""
    if supported:
        return GraphQLError("PersistedQueryNotFound", extensions={"code": PERSISTED_NOT_FOUND})
    message = "PersistedQueryNotSupported"
    return GraphQLError(message, extensions={"code": PERSISTED_NOT_SUPPORTED})


def load_trusted(path: Path | None, *, only: bool) -> TrustedDocuments:
    """The documents of the manifest at `path`; ConfigurationError if it cannot be read."""
    if path is None:
        if only:
            raise ConfigurationError(f"OPSIN_GRAPHQL_TRUSTED_ONLY needs {SETTING}")
        return TrustedDocuments()
    try:
        manifest = parse_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{SETTING}: {path} cannot be read: {reason}") from None
    except ValueError:
        raise ConfigurationError(f"{SETTING}: {path} is not JSON") from None
    texts = _texts(manifest)
    if texts is None:
        raise ConfigurationError(
            f"{SETTING}: {path} is neither Apollo's manifest of persisted queries "
            "nor a map of ids to documents"
        )
    return TrustedDocuments(texts, only=only)


def _texts(manifest: Any) -> dict[str, str] | None:
    if not isinstance(manifest, dict):
        return None
    if manifest.get("format") == _APOLLO_FORMAT:
        operations = manifest.get("operations")
        if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
            return None
        manifest = {operation.get("id"): operation.get("body") for operation in operations}
    pairs = manifest.items()
    fits = all(isinstance(name, str) and isinstance(text, str) for name, text in pairs)
    return manifest if fits else None


def _unfit(name: str, document: DocumentNode | None, error: GraphQLError) -> ConfigurationError:
    operations = [
        definition.name.value
        for definition in (document.definitions if document else ())
        if isinstance(definition, OperationDefinitionNode) and definition.name
    ]
    shown = f"{', '.join(operations)} ({name})" if operations else name
    return ConfigurationError(f"{SETTING}: the document {shown} does not fit: {error.message}")
