"""What is asked: each case in the words of each schema, and answers made comparable."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.reads import rows
from bench.reads.rows import Seeded

PAGE, LARGE, DATASET = "analyses", "analysis", "dataset"
"""The shapes, each named as the root field of its answer."""

SLICE = "slice"
"""A shape for Opsin alone: a page of an analysis' annotations from a cursor on."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request: its shape, and how many of each level it asks for."""

    name: str
    shape: str
    counts: dict[str, int]
    after: str | None = None
    connections: tuple[int, ...] = (1, 8, 32)

    def variables(self, seeded: Seeded) -> dict[str, Any]:
        """The variables of the GraphQL request."""
        large = seeded.large_analysis_id
        ids = {LARGE: large, SLICE: large, DATASET: seeded.dataset_id}
        own = {"id": ids[self.shape]} if self.shape in ids else {}
        return own | self.counts | {"after": self.after}

    def values(self, seeded: Seeded) -> list[Any]:
        """The parameters of the statement in `raw_sql`, in their order."""
        variables = self.variables(seeded)
        own = [variables["id"]] if "id" in variables else []
        return [seeded.company_id, *own, *self.counts.values()]

    def body(self, dialect: str, seeded: Seeded) -> bytes:
        """The body of the request to a server that speaks `dialect`."""
        if dialect == "raw":
            return json.dumps({"shape": self.shape, "values": self.values(seeded)}).encode()
        query = QUERIES[dialect][self.shape]
        variables = {
            name: value for name, value in self.variables(seeded).items() if f"${name}:" in query
        }
        return json.dumps({"query": query, "variables": variables}).encode()


CASES = (
    Case("200 x 20", PAGE, {"analyses": rows.ANALYSES, "annotations": rows.ANNOTATIONS}),
    Case("20 x 20", PAGE, {"analyses": 20, "annotations": rows.ANNOTATIONS}),
    Case("1 x 20", PAGE, {"analyses": 1, "annotations": rows.ANNOTATIONS}),
    Case("10,000 of one", LARGE, {"annotations": rows.LARGE}, connections=(1, 8)),
    Case(
        f"{rows.IMAGES} x {rows.ANALYSES_OF_IMAGE} x {rows.ANNOTATIONS_OF_ANALYSIS}",
        DATASET,
        {
            "images": rows.IMAGES,
            "analyses": rows.ANALYSES_OF_IMAGE,
            "annotations": rows.ANNOTATIONS_OF_ANALYSIS,
        },
    ),
)

_ANNOTATION = "{ id annotationType className confidence data }"
_OPSIN = f"id modelName status createdAt annotations(first: $annotations) {{ nodes {_ANNOTATION} }}"
_POSTGRAPHILE_ANNOTATION = _ANNOTATION.replace("id", "rowId", 1)
_POSTGRAPHILE = (
    "rowId modelName status createdAt annotationsByAnalysisIdList(first: $annotations) "
    + _POSTGRAPHILE_ANNOTATION
)
_LISTS = f"id modelName status createdAt annotations {_ANNOTATION}"

QUERIES = {
    "opsin": {
        PAGE: f"""query($analyses: Int!, $annotations: Int!) {{
          analyses(first: $analyses) {{ nodes {{ {_OPSIN} }} }} }}""",
        LARGE: f"query($id: ID!, $annotations: Int!) {{ analysis(id: $id) {{ {_OPSIN} }} }}",
        SLICE: f"""query($id: ID!, $annotations: Int!, $after: String) {{ analysis(id: $id) {{
          annotations(first: $annotations, after: $after) {{
            nodes {_ANNOTATION} pageInfo {{ hasNextPage endCursor }} }} }} }}""",
        DATASET: f"""query($id: ID!, $images: Int!, $analyses: Int!, $annotations: Int!) {{
          dataset(id: $id) {{ id name images(first: $images) {{ nodes {{ id filename width height
            analyses(first: $analyses) {{ nodes {{ {_OPSIN} }} }} }} }} }} }}""",
    },
    "postgraphile": {
        PAGE: f"""query($analyses: Int!, $annotations: Int!) {{
          analyses: allAnalysesList(first: $analyses) {{ {_POSTGRAPHILE} }} }}""",
        LARGE: f"""query($id: UUID!, $annotations: Int!) {{
          analysis: analysisByRowId(rowId: $id) {{ {_POSTGRAPHILE} }} }}""",
        DATASET: f"""query($id: UUID!, $images: Int!, $analyses: Int!, $annotations: Int!) {{
          dataset: datasetByRowId(rowId: $id) {{ rowId name imagesByDatasetIdList(first: $images) {{
            rowId filename width height
            analysesByImageIdList(first: $analyses) {{ {_POSTGRAPHILE} }} }} }} }}""",
    },
    "strawberry": {
        PAGE: f"query($analyses: Int!) {{ analyses(first: $analyses) {{ {_LISTS} }} }}",
        LARGE: f"query($id: ID!) {{ analysis(id: $id) {{ {_LISTS} }} }}",
        DATASET: f"""query($id: ID!) {{ dataset(id: $id) {{ id name images {{
          id filename width height analyses {{ {_LISTS} }} }} }} }}""",
    },
    "strawchemy": {
        PAGE: f"query($analyses: Int!) {{ analyses(limit: $analyses) {{ {_LISTS} }} }}",
        LARGE: f"query($id: UUID!) {{ analysis(id: $id) {{ {_LISTS} }} }}",
        DATASET: f"""query($id: UUID!) {{ dataset(id: $id) {{ id name images {{
          id filename width height analyses {{ {_LISTS} }} }} }} }}""",
    },
}

_NAMES = {
    "rowId": "id",
    "imagesByDatasetIdList": "images",
    "analysesByImageIdList": "analyses",
    "annotationsByAnalysisIdList": "annotations",
}


def canonical(value: Any) -> Any:
    """An answer with opsin's names, its lists bare, its times in UTC: equal if it says the same."""
    if isinstance(value, list):
        return [canonical(one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"nodes"}:
        return canonical(value["nodes"])
    named = {_NAMES.get(name, name): canonical(one) for name, one in value.items()}
    if isinstance(named.get("createdAt"), str):
        named["createdAt"] = datetime.fromisoformat(named["createdAt"]).astimezone(UTC)
    return named
