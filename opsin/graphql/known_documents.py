"""Documents that clients send again and again: parsed and validated once."""

from collections.abc import Iterator

from graphql import DocumentNode
from strawberry.extensions import SchemaExtension

from opsin.core.bounded_cache import BoundedCache

_MOST_CHARACTERS = 256 * 1024
"""Of all texts together; a parsed document takes some hundred bytes for each."""
_LONGEST = 16 * 1024


class Documents:
    """Valid documents of one schema by their text: those kept for good, and what was sent lately.

    The latter are bounded by characters.
    """

    def __init__(self) -> None:
        self._kept: dict[str, DocumentNode] = {}
        self._recent: BoundedCache[str, DocumentNode] = BoundedCache(_MOST_CHARACTERS)

    def get(self, text: str) -> DocumentNode | None:
        return self._kept.get(text) or self._recent.get(text)

    def keep(self, text: str, document: DocumentNode) -> None:
        """Never forget this one: somebody who may has named it as trusted."""
        self._kept[text] = document

    def put(self, text: str, document: DocumentNode) -> None:
        """Remember a document until others take its place; a very long one is not worth it."""
        if len(text) <= _LONGEST:
            self._recent.put(text, document, len(text))

    def __len__(self) -> int:
        return len(self._kept) + len(self._recent)


class KnownDocuments(SchemaExtension):
    """Takes a valid document as it was parsed before; comes before other extensions.

    What depends on more than the document, such as which of its operations is meant, is for those.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._is_known = False

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if context.query and (known := self._documents.get(context.query)) is not None:
            self._is_known = True
            context.graphql_document = known
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if self._is_known:
            context.pre_execution_errors = []  # there are none, and none are looked for
        yield
        query, document = context.query, context.graphql_document
        valid = document is not None and not context.pre_execution_errors and not self._is_known
        if valid and document is not None and query:
            self._documents.put(query, document)
