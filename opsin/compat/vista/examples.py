"""One body for each operation of the VISTA API that takes JSON, as its guide has them."""

from collections.abc import Mapping
from typing import Any

CLASS_ID = "01900000-0000-7000-8000-000000000000"
"""Of no class: whoever tries it puts the id of one of theirs here."""

_PROJECT = "/projects/{project_id}"
_IMAGE = "/images/{image_id}"
_ANALYSIS = "/analyses/{analysis_id}"

EXAMPLES: Mapping[tuple[str, str], Any] = {
    ("post", "/users"): {"email": "ada@example.com"},
    ("patch", "/users/{user_id}"): {"is_active": True},
    ("post", "/api-keys"): {"name": "nightly pipeline"},
    ("post", "/projects"): {
        "name": "Street scenes",
        "description": "Junctions by day",
        "meta_group_id": "local",
    },
    ("post", f"{_PROJECT}/classes"): {"name": "vehicle", "description": "Anything with wheels"},
    ("patch", "/classes/{class_id}"): {"description": "Anything that drives"},
    ("post", f"{_IMAGE}/classifications"): {"class_id": CLASS_ID},
    ("post", f"{_IMAGE}/comments"): {"text": "The car on the left is cut off."},
    ("patch", "/comments/{comment_id}"): {"text": "The car on the right is cut off."},
    ("post", f"{_PROJECT}/metadata"): {"key": "camera", "value": {"height_m": 6}},
    ("put", f"{_PROJECT}/metadata/{{key}}"): {"value": {"height_m": 7}},
    ("put", f"{_PROJECT}/metadata-dict"): {"camera": {"height_m": 6}, "weather": "rain"},
    ("put", f"{_IMAGE}/metadata"): {"key": "weather", "value": "rain"},
    ("post", f"{_IMAGE}/analyses"): {
        "model_name": "yolo_v8",
        "model_version": "v8.0.0",
        "parameters": {"confidence_threshold": 0.5, "iou_threshold": 0.45},
    },
    ("patch", f"{_ANALYSIS}/status"): {"status": "processing"},
    ("post", f"{_ANALYSIS}/artifacts/presign"): {
        "artifacts": [{"artifact_name": "heatmap.png", "content_type": "image/png"}]
    },
    ("post", f"{_ANALYSIS}/annotations:bulk"): {
        "annotations": [
            {
                "annotation_type": "bounding_box",
                "class_name": "person",
                "confidence": 0.95,
                "data": {"bbox": [100, 150, 50, 100], "format": "xywh"},
            }
        ]
    },
    ("post", f"{_ANALYSIS}/finalize"): {
        "status": "completed",
        "summary": {"total_detections": 1, "processing_time_seconds": 3.45},
    },
    ("delete", f"{_PROJECT}/images/{{image_id}}"): {"reason": "The wrong junction"},
    ("post", f"{_PROJECT}/images/{{image_id}}/restore"): {"reason": "The right one, after all"},
}
