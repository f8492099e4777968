"""Trained classifiers as files for programs that read scikit-learn's own, and their index."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opsin.core.classifiers.bake_off import Candidate
from opsin.core.classifiers.document import ClassifierDocument
from opsin.core.classifiers.logistic_regression import pickled
from opsin.core.classifiers.training import TrainingReport
from opsin.core.collections.inputs import JOINT
from opsin.core.contract import Target
from opsin.core.errors import ConfigurationError, InvalidInput, reason_of

INDEX = "best_models.json"

_LONGEST_KEY = 100
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def write_files(folder: Path, reports: Sequence[TrainingReport]) -> None:
    """One file for each classifier that is kept, a copy of each best one, and the index.

    A file of one that is kept no longer goes.  What the index says of other collections stays.
    Raises ConfigurationError for a folder that cannot be written to.
    """
    if not reports:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        told = _read_index(folder / INDEX)
        for report in reports:
            told[report.collection.key] = _write_one(folder, report)
        _write(folder / INDEX, json.dumps(told, indent=4).encode())
    except OSError as error:
        raise ConfigurationError(
            f"the folder {folder} cannot be written to: {reason_of(error)}"
        ) from None


def _write_one(folder: Path, report: TrainingReport) -> dict[str, Any]:
    """The files of one collection; gives its entry in the index."""
    start = f"collection_{_plain(report.collection.key)}"
    for standing in report.standings:
        file = folder / _name(start, standing.candidate)
        if not standing.is_kept:
            file.unlink(missing_ok=True)
        elif not file.exists():
            _write(file, _content(standing.candidate.document))
    best = report.best.candidate
    _write(folder / f"{start}_compatible_classifier.pkl", _content(best.document))
    inputs = best.document.inputs
    return {
        "model_file": _name(start, best),
        "derivative_type": (inputs[0].target or Target.WHOLE_IMAGE).value,
        "embedding_type": JOINT.join(one.operation for one in inputs),
        "dimensionality": len(best.document.coefficients),
    }


def _name(start: str, candidate: Candidate) -> str:
    return f"{start}_classifier_{candidate.created_at:%Y-%m-%d_%H%M%S}.pkl"


def _content(document: ClassifierDocument) -> bytes:
    return pickled(document.coefficients, document.intercept)


def _plain(key: str) -> str:
    """A key as a part of a file's name; raises InvalidInput for one that is none."""
    if len(key) > _LONGEST_KEY or not _PLAIN.issuperset(key):
        raise InvalidInput(
            f"the collection {key!r} can be no file's name: train it without --folder"
        )
    return key


def _read_index(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InvalidInput(f"{file} is no index of classifiers") from None
    if not isinstance(told, dict):
        raise InvalidInput(f"{file} is no index of classifiers")
    return told


def _write(file: Path, content: bytes) -> None:
    """In one step: whoever reads it meanwhile gets the old one or the new one."""
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)
