"""The interface of everything that has an id."""

import strawberry


@strawberry.interface(description="Anything with an id; `node(id)` finds it.")
class Node:
    id: strawberry.ID
