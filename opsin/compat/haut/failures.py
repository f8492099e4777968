"""Results that there are not: which of the documented texts is true of them, or a text of ours."""

from collections.abc import Mapping
from typing import Any

from opsin.compat.haut.catalogue import CATALOGUE
from opsin.core.errors import InvalidInput, NotShown, RegionNotFound
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis

_NO_FACE = RegionNotFound("face", "").message.partition("''")[0]
"""How the text begins that is stored where no face was found."""
_TOLD = frozenset({NotShown.code, InvalidInput.code})
"""Codes whose texts are about the picture, and written for whoever sent it."""


def has_no_face(analysis: Analysis) -> bool:
    """Whether it failed because there is no face in the picture."""
    return analysis.error_code == NotShown.code and (analysis.error_message or "").startswith(
        _NO_FACE
    )


def error_of(analysis: Analysis, face: Mapping[str, Any] | None) -> str:
    """Why an analysis has no result; `face` is what the detector found in the same picture."""
    texts = CATALOGUE.failures
    if has_no_face(analysis):
        return texts.no_face
    message = analysis.error_message or ""
    if analysis.error_code == NotShown.code and (
        message in texts.cut_or_turned or _is_cut_or_turned(face)
    ):
        return texts.not_full_face
    if analysis.error_code in _TOLD and message:
        return message
    code = "CANCELLED" if analysis.status is AnalysisStatus.CANCELLED else analysis.error_code
    return texts.by_code.get(code or "", texts.other)


def _is_cut_or_turned(face: Mapping[str, Any] | None) -> bool:
    """Whether the detector says that it does not see all of the face, or not from the front."""
    return face is not None and not (face.get("is_whole", True) and face.get("is_frontal", True))
