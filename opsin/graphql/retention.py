"""How long a dataset keeps files and results, as GraphQL shows it."""

import strawberry

from opsin.graphql.compiler.rules import Computed
from opsin.graphql.context import Context


@strawberry.type(description="How long files and results are kept; null: until they are deleted.")
class Retention:
    expire_files_after_days: int | None = strawberry.field(
        description="Days after an image came; the image and its results stay."
    )
    expire_results_after_days: int | None = strawberry.field(
        description="Days after an image came; the image stays."
    )
    delete_files_when_ready: bool = strawberry.field(
        description="Whether an image's file goes when every application that was attached as it "
        "came has finished it."
    )


def retention_of(
    _context: Context, files: int | None, results: int | None, when_ready: bool
) -> Retention:
    return Retention(
        expire_files_after_days=files,
        expire_results_after_days=results,
        delete_files_when_ready=when_ready,
    )


RETENTION = Computed(
    ("expire_files_after_days", "expire_results_after_days", "delete_files_when_ready"),
    retention_of,
)
"""How `Dataset.retention` is read."""
