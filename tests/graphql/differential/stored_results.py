"""Results as they are stored, of every operation, and some that nobody understands."""

from typing import Any, NamedTuple

import numpy as np

from opsin.core.plugin_host import PluginHost
from tests.graphql.differential.odd_values import FLOATS, TEXTS
from tests.graphql.unusual import Tree, UnusualParams, unusual

FINGERPRINT = "e" * 64
_BOX = {"x_min": -1, "y_min": 0, "x_max": 2**31 - 1, "y_max": 7}


class StoredResult(NamedTuple):
    """What an analysis has of its result."""

    operation: str
    result_type: str
    result: Any
    vector: bytes | None = None


def vector(count: int, seed: int) -> bytes:
    """float32 values, most of which are no short decimals."""
    values = np.random.default_rng(seed).standard_normal(count).astype("<f4")
    values[:3] = [0.1, -0.0, 3.4e38]
    return values.tobytes()


def _by_type(mark: str) -> dict[str, list[dict[str, Any]]]:
    """Stored results of each type, with `mark` in every text that may hold it."""
    text = f"{mark} {TEXTS[4]}{TEXTS[6]}"
    tree = Tree.model_validate({"leaf": {"value": 5e-324}, "branches": [{"leaf": {}}]})
    odd = unusual(UnusualParams(required=0.1, tree=tree, names=["a"]))
    return {
        "BoundingBox": [
            {"region": _BOX, "note": text, "label": "face", "box": _BOX, "score": FLOATS[0]},
            {"label": text},
        ],
        "DetectedObjects": [
            {"objects": [{"label": text, "class_id": 1, "score": f, "box": _BOX} for f in FLOATS]},
            {"objects": []},
        ],
        "ZeroShotClassification": [
            {
                "labels": [
                    {"label": f"{mark} {label}", "probability": 1, "similarity": number}
                    for label, number in zip(TEXTS, FLOATS, strict=False)
                ],
                "model_fingerprint": mark,
            }
        ],
        "ImageQuality": [
            {
                "note": text,
                "sharpness": 1e308,
                "mean_luma": 5e-324,
                "clipped_shadows": 0,
                "clipped_highlights": -0.0,
                "contrast": 0.1 + 0.2,
                "noise": None,
                "colorfulness": 2**53 + 1,
            }
        ],
        "DominantColors": [
            {"colors": [{"hex": "#00ff80", "red": 0, "green": 255, "blue": 128, "share": 1 / 3}]},
            {"note": text, "colors": []},
        ],
        "PerceptualHash": [{"note": text, "phash": "0" * 16, "dhash": "f" * 16}],
        "Saliency": [{"note": text}, {"peak": {"x": 1, "y": 2}, "focus_box": _BOX, "entropy": 1}],
        "CollectionMembership": [
            {"is_in_collection": True, "probability": 0.5, "collection": text, "classifier": mark}
        ],
        "CetaceanScreening": [
            {"is_cetacean": False, "cetacean_score": 1e-7, "threshold": 0.52, "manifest": text}
        ],
        "CetaceanIdentification": [
            {
                "is_cetacean": None,
                "rejected": True,
                "rejection_reason": "low_confidence",
                "individual": text,
                "probability": 1,
                "candidates": [
                    {
                        "rank": rank,
                        "individual": f"{mark} {rank}",
                        "species": None,
                        "probability": 1 / 3,
                        "cosine": -1,
                    }
                    for rank in (1, 2)
                ],
                "matched_by": "fused",
                "manifest": text,
                "manifest_digest": mark,
            }
        ],
        "FaceAreas": [_face(text, mark), _face(text, mark) | {"aligned": None}],
        "SkinMeasures": [_skin(text, mark), {"note": text, "measure": mark}],
        "Caption": [{"note": text, "text": text, "truncated": False}],
        "Unusual": [odd.model_dump(mode="json") | {"asked": text, "maybe": None}],
        "Vague": [{"note": mark, "score": 1, "more": text}],
    }


def _face(text: str, mark: str) -> dict[str, Any]:
    return {
        "note": text,
        "landmarks": [{"name": f"{mark} eye", "x": FLOATS[0], "y": -0.0}],
        "areas": [{"name": mark, "coordinates": [1, -2], "visible_share": 1, "skin_share": 5e-324}],
        "skin": [_shape(mark)],
        "eye_distance": 1 / 3,
        "roll": -1e-7,
        "nose_offset": 0,
        "is_frontal": True,
        "is_whole": False,
        "aligned": {"size": 700, "matrix": list(FLOATS[:6])},
    }


def _skin(text: str, mark: str) -> dict[str, Any]:
    metric = {"name": mark, "value": 1e22, "unit": text, "score": 100 / 3, "label": None}
    area = {"area": mark, "skin_share": 0.5, "main": metric, "details": [metric]}
    return {
        "measure": mark,
        "areas": [area],
        "shapes": [_shape(mark)],
        "feedback": [text],
        "explanation": text,
        "source": mark,
    }


def _shape(mark: str) -> dict[str, Any]:
    outline = {"name": mark, "is_outline": True, "intensity": 0.1, "unit": mark}
    return {**outline, "coordinates": [2**31 - 1, 0]}


def stored_results(host: PluginHost, mark: str) -> list[StoredResult]:
    """Results of every operation of the host, then those that are answered with null.

    Raises KeyError for an operation whose results nobody has written down here.
    """
    known = _by_type(mark)
    found: list[StoredResult] = []
    for number, (name, registered) in enumerate(host.operations.items()):
        kind = registered.operation.result.__name__
        if kind != "Embedding":
            found += [StoredResult(name, kind, result) for result in known[kind]]
            continue
        stored = {"note": mark, "dimensions": 5, "normalized": False}
        stored["model_fingerprint"] = FINGERPRINT
        found.append(StoredResult(name, kind, stored, vector(5, number)))
    whole = {"dimensions": 2, "normalized": True, "model_fingerprint": mark, "vector": [0.1, 1]}
    caption = known["Caption"][0]
    return [
        *found,
        StoredResult("embed_dino_v2", "Embedding", whole),
        StoredResult("embed_dino_v2", "Embedding", {**whole, "vector": None}),
        StoredResult("embed_dino_v2", "Embedding", stored),  # its vector is gone
        StoredResult("describe_image", "Caption", {"text": [mark], "truncated": 2}),
        StoredResult("describe_image", "Caption", {}),
        StoredResult("describe_image", "OldCaption", caption),
        StoredResult(f"{mark} no longer here", "Caption", caption),
        StoredResult("detect_bounding_box", "Caption", caption),
    ]
