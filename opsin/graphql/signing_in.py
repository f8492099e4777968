"""Which operations a caller without a key may ask for: those that sign in."""

from graphql import (
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    parse,
)

from opsin.graphql.accounts import SIGNS_IN

_MOST_TOKENS = 500


def signs_in(query: str | None, operation_name: str | None) -> bool:
    """Whether the operation is a mutation that does nothing but sign in.

    What cannot be read, and what is written in any unusual way, does not.
    """
    if not query or not any(name in query for name in SIGNS_IN):
        return False
    try:
        document = parse(query, no_location=True, max_tokens=_MOST_TOKENS)
    except (GraphQLError, RecursionError, ValueError):
        return False
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    named = [one for one in operations if one.name is not None and one.name.value == operation_name]
    chosen = operations if operation_name is None else named
    return (
        len(chosen) == 1
        and chosen[0].operation is OperationType.MUTATION
        and all(
            isinstance(one, FieldNode) and one.name.value in SIGNS_IN
            for one in chosen[0].selection_set.selections
        )
    )
