"""Where everything in a dataset, an image or an analysis can be fetched as one file."""

from functools import partial

import strawberry

from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.graphql.compiler.rules import Computed
from opsin.graphql.context import Context
from opsin.graphql.signed_links import signed_link

strawberry.enum(ExportFormat, description="How an export is written.")

DESCRIPTION = "Where an export of it can be fetched for the next hours, without further rights."


def export_url(kind: TargetKind, context: Context, identity: str, format: ExportFormat) -> str:
    """A signed link; no filter can be added to it."""
    return signed_link(context, f"/exports/{kind}/{identity}", format=format.value)


def export_rule(kind: TargetKind) -> Computed:
    """How the field is read in SQL."""
    return Computed(("id",), partial(export_url, kind))
