"""Classifiers that scikit-learn has pickled, read as data and turned into documents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from opsin.core.classifiers.document import ClassifierDocument, TrainedOn
from opsin.core.classifiers.legacy_arrays import Array
from opsin.core.classifiers.legacy_pickle import PickledObject, read_pickle
from opsin.core.collections.inputs import CollectionInput
from opsin.core.collections.member_vectors import MOST_DIMENSIONS
from opsin.core.errors import InvalidInput
from opsin.core.storable import is_storable_text

if TYPE_CHECKING:
    import numpy.typing as npt

_PARAMETERS = ("C", "class_weight", "solver", "random_state", "fit_intercept")


def convert_classifier(
    content: bytes, inputs: Sequence[CollectionInput], fingerprints: Sequence[str]
) -> ClassifierDocument:
    """The document of a pickled or joblib-dumped LogisticRegression of two classes.

    A pickle does not say what its features are: `inputs` and the `fingerprints` of their models
    do.  Raises InvalidInput for anything else; nothing in the file is ever executed.
    """
    model = read_pickle(content)
    if not isinstance(model, PickledObject):
        raise InvalidInput("the file holds no LogisticRegression")
    told = model.attributes
    if told.get("multi_class") == "multinomial":
        raise InvalidInput("a multinomial regression computes its probabilities in another way")
    coefficients = _numbers(told, "coef_")
    intercept = _numbers(told, "intercept_")
    classes = _array(told, "classes_").tolist()
    if coefficients.ndim != 2 or coefficients.shape[0] != 1 or intercept.shape != (1,):
        raise InvalidInput("this is no regression of two classes")
    if not 1 <= coefficients.size <= MOST_DIMENSIONS:
        raise InvalidInput(f"a classifier has 1 to {MOST_DIMENSIONS} features")
    if classes != [False, True]:  # also [0, 1]
        raise InvalidInput("the classes must be False and True")
    return ClassifierDocument(
        inputs=tuple(inputs),
        fingerprints=tuple(fingerprints),
        coefficients=tuple(coefficients[0].tolist()),
        intercept=float(intercept[0]),
        training=TrainedOn(
            library=f"scikit-learn {_text(told.get('_sklearn_version'))}",
            parameters={name: _plain(told[name]) for name in _PARAMETERS if name in told},
        ),
    )


def _array(told: dict[str, Any], name: str) -> "npt.NDArray[Any]":
    value = told.get(name)
    if not isinstance(value, Array) or value.values is None:
        raise InvalidInput(f"the regression has no {name}: it was never trained")
    return value.values


def _numbers(told: dict[str, Any], name: str) -> "npt.NDArray[np.float64]":
    numbers = _array(told, name).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{name} has numbers that are not finite")
    return numbers


def _text(value: Any) -> str:
    known = isinstance(value, str) and is_storable_text(value)
    return str(value)[:40] if known else "of unknown version"


def _plain(value: Any) -> str | int | float | bool | None:
    """A parameter as it may be told of; `?` for whatever is no parameter of a regression."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "?"
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value[:40] if isinstance(value, str) and is_storable_text(value) else "?"
