"""Logistic regression on a collection's members: split, fit, and scores; needs scikit-learn.

The one file of the core that imports it, and only inside its functions: classifiers are served
without it.
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from opsin.core.errors import Conflict, OperationUnavailable

if TYPE_CHECKING:
    import numpy.typing as npt

    Decisions = npt.NDArray[np.bool_]
    Vectors = npt.NDArray[np.float32]

IN_COLLECTION: Final = "true"
NOT_IN_COLLECTION: Final = "false"
HELD_OUT: Final = 0.2
SEED: Final = 42
PARAMETERS: Final[dict[str, Any]] = {
    "C": 0.1,
    "class_weight": "balanced",
    "solver": "liblinear",
    "random_state": SEED,
}
LEAST_OF_EACH: Final = 2
"""One to train on and one to be held out."""
_PICKLE_PROTOCOL: Final = 4
"""Which every Python since 3.4 reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The numbers of the rows trained on and of those held out, and every row's truth."""

    truth: "Decisions"
    trained: "npt.NDArray[np.intp]"
    held_out: "npt.NDArray[np.intp]"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The numbers of a logistic regression, and what made them."""

    coefficients: tuple[float, ...]
    intercept: float
    library: str


@dataclass(frozen=True, slots=True)
class Score:
    """How decisions fit the truth of `rows` rows; the precision is the mean of both classes'.

    A class that nobody was decided to be of has precision 0.
    """

    precision: float
    accuracy: float
    rows: int


def check_labels(labels: Iterable[str]) -> None:
    """Raises Conflict for other labels than `true` and `false`."""
    others = sorted(set(labels) - {IN_COLLECTION, NOT_IN_COLLECTION})
    if others:
        more = ", ..." if len(others) > 3 else ""
        raise Conflict(
            f"a classifier is trained on members labelled {IN_COLLECTION!r} and "
            f"{NOT_IN_COLLECTION!r}; this collection has {', '.join(map(repr, others[:3]))}{more}"
        )


def split(labels: Sequence[str]) -> Split:
    """One in five rows held out, of each label its share, always the same for the same rows.

    Raises Conflict, saying what is wrong, when there are too few of a label.
    """
    counts = Counter(labels)
    few = [f"{counts[label]} {label!r}" for label in (IN_COLLECTION, NOT_IN_COLLECTION)]
    if min(counts[IN_COLLECTION], counts[NOT_IN_COLLECTION]) < LEAST_OF_EACH:
        raise Conflict(
            f"at least {LEAST_OF_EACH} members of each label are needed to train, there are "
            f"{' and '.join(few)}"
        )
    truth = np.array([label == IN_COLLECTION for label in labels])
    _require_sklearn()
    from sklearn.model_selection import train_test_split

    try:
        # Not sorted: the fit depends, in its last digits, on the order of the rows.
        trained, held_out = train_test_split(
            np.arange(len(truth)), test_size=HELD_OUT, stratify=truth, random_state=SEED
        )
    except ValueError:
        # One in five of so few has no room for both labels.
        raise Conflict(
            f"too few members to hold some of each label out: there are {' and '.join(few)}"
        ) from None
    return Split(truth, trained, held_out)


def fit(vectors: "Vectors", truth: "Decisions") -> Fitted:
    """Train on rows of n x dimensions, float32, without scaling them."""
    _require_sklearn()
    import sklearn
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(**PARAMETERS)
    regression.fit(vectors, truth)
    return Fitted(
        coefficients=tuple(float(value) for value in regression.coef_[0]),
        intercept=float(regression.intercept_[0]),
        library=f"scikit-learn {sklearn.__version__}",
    )


def score(truth: "Decisions", decided: "Decisions") -> Score:
    """How good the decisions are."""
    _require_sklearn()
    from sklearn.metrics import accuracy_score, precision_score

    precision = precision_score(truth, decided, average="macro", zero_division=0)
    return Score(float(precision), float(accuracy_score(truth, decided)), len(truth))


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401  # asks only whether it is there
    except ModuleNotFoundError:
        raise OperationUnavailable(
            "training a classifier needs an extra: pip install 'opsin[models]'"
        ) from None


def pickled(coefficients: Sequence[float], intercept: float) -> bytes:
    """The regression as scikit-learn's own object, for programs that read such files.

    Nothing here reads one back by unpickling it.
    """
    _require_sklearn()
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(**PARAMETERS)
    regression.coef_ = np.array([coefficients], np.float64)
    regression.intercept_ = np.array([intercept], np.float64)
    regression.classes_ = np.array([False, True])
    regression.n_features_in_ = len(coefficients)
    regression.n_iter_ = np.array([0], np.int32)
    return pickle.dumps(regression, protocol=_PICKLE_PROTOCOL)
