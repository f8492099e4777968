"""What an export tells of each thing, in which order; files of other versions depend on it."""

from collections.abc import Sequence

Columns = Sequence[tuple[str, str, str]]
"""Name in the export, SQL and kind (`id`, `text`, `number`, `json`, `moment`) of each column."""

DATASET: Columns = (
    ("id", "d.id", "id"),
    ("name", "d.name", "text"),
    ("description", "d.description", "text"),
    ("created_at", "d.created_at", "moment"),
)
IMAGE: Columns = (
    ("id", "i.id", "id"),
    ("dataset_id", "i.dataset_id", "id"),
    ("filename", "i.filename", "text"),
    ("content_type", "i.content_type", "text"),
    ("sha256", "i.sha256", "text"),
    ("size_bytes", "i.size_bytes", "number"),
    ("width", "i.width", "number"),
    ("height", "i.height", "number"),
    ("metadata", "i.metadata", "json"),
    ("created_at", "i.created_at", "moment"),
)
COCO_IMAGE: Columns = (
    ("file_name", "i.filename", "text"),
    ("width", "i.width", "number"),
    ("height", "i.height", "number"),
    ("date_captured", "i.created_at", "moment"),
    ("opsin_id", "i.id", "id"),
    ("opsin_sha256", "i.sha256", "text"),
)
"""COCO's names; its number is put before them."""
ANALYSIS: Columns = (
    ("id", "s.id", "id"),
    ("image_id", "s.image_id", "id"),
    ("operation", "s.operation", "text"),
    ("model_name", "s.model_name", "text"),
    ("model_version", "s.model_version", "text"),
    ("parameters", "s.parameters", "json"),
    ("status", "s.status", "text"),
    ("error_message", "s.error_message", "text"),
    ("result_type", "s.result_type", "text"),
    ("result", "s.result", "json"),
    ("summary", "s.summary", "json"),
    ("provenance", "s.provenance", "json"),
    ("created_at", "s.created_at", "moment"),
    ("started_at", "s.started_at", "moment"),
    ("completed_at", "s.completed_at", "moment"),
)
ANNOTATION: Columns = (
    ("id", "a.id", "id"),
    ("annotation_type", "a.annotation_type", "text"),
    ("class_name", "a.class_name", "text"),
    ("confidence", "a.confidence", "float"),
    ("data", "a.data", "json"),
    ("storage_path", "a.storage_path", "text"),
    ("ordering", "a.ordering", "number"),
    ("created_at", "a.created_at", "moment"),
)
OWNER: Columns = (
    ("image_id", "i.id", "id"),
    ("image_filename", "i.filename", "text"),
    ("image_width", "i.width", "number"),
    ("image_height", "i.height", "number"),
    ("analysis_id", "s.id", "id"),
    ("operation", "s.operation", "text"),
    ("model_name", "s.model_name", "text"),
    ("model_version", "s.model_version", "text"),
    ("analysis_status", "s.status", "text"),
)
OWNED: Columns = (("annotation_id", "a.id", "id"), *ANNOTATION[1:])
NAMED_OWNER: Columns = (
    *OWNER[:2],
    ("image_sha256", "i.sha256", "text"),
    *OWNER[2:],
)
"""For formats with names, which may have more than a table's columns."""
FLAT: Columns = (*OWNER, *OWNED)
"""An annotation with what it belongs to, for formats without nesting; never changes its order."""
