"""The result of the face detector: also without a face it is one."""

from collections.abc import Mapping
from typing import Any

from opsin.compat.haut.catalogue import CATALOGUE

_AREA = "face"


def detected(face: Mapping[str, Any], side: str | None, light: str | None) -> dict[str, Any]:
    """What the finder's five points tell; angles and confidence that they do not tell are null."""
    outline = next(one["coordinates"] for one in face["areas"] if one["name"] == _AREA)
    across, down = outline[::2], outline[1::2]
    aligned = face.get("aligned")
    return {
        "bbox": [min(across), min(down), max(across) - min(across), max(down) - min(down)],
        "mesh": [[round(one["x"]), round(one["y"])] for one in face["landmarks"]],
        "side": side,
        "light": light,
        "feedback": _feedback(_advice(face)),
        "detection_params": {
            "full_face": face["is_whole"],
            "yaw_angle": None,
            "roll_angle": face["roll"],
            "pitch_angle": None,
            "face_detected": True,
            "detection_confidence": None,
        },
        "transform_sequence": {"sequence": [] if aligned is None else [_step(aligned)]},
    }


def not_detected(side: str | None, light: str | None) -> dict[str, Any]:
    """What it says of a picture without a face."""
    return {
        "bbox": None,
        "mesh": None,
        "side": side,
        "light": light,
        "feedback": _feedback([CATALOGUE.failures.no_face]),
        "detection_params": {
            "full_face": None,
            "yaw_angle": None,
            "roll_angle": None,
            "pitch_angle": None,
            "face_detected": False,
            "detection_confidence": 0.0,
        },
        "transform_sequence": {"sequence": []},
    }


def _advice(face: Mapping[str, Any]) -> list[str]:
    """What is wrong with how the face lies in the picture."""
    advice = []
    if not face["is_whole"]:
        advice.append(CATALOGUE.failures.not_full_face)
    if not face["is_frontal"]:
        advice.append("Look straight into the camera")
    return advice


def _feedback(negative: list[str]) -> dict[str, Any]:
    return {
        "overlay": negative[0] if negative else None,
        "tooltip": {"warn": [], "negative": negative, "positive": []},
    }


def _step(aligned: Mapping[str, Any]) -> dict[str, Any]:
    a, b, c, d, e, f = aligned["matrix"]
    size = aligned["size"]
    return {"type": "similarity", "matrix": [[a, b, c], [d, e, f]], "size": [size, size]}
