"""A training: a collection's members become a classifier, ranked among the earlier ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from opsin.core.classifiers.bake_off import Candidate, HeldOut, Standing, hold
from opsin.core.classifiers.document import ClassifierDocument, TrainedOn, digest_of, row_mark
from opsin.core.classifiers.logistic_regression import (
    HELD_OUT,
    PARAMETERS,
    check_labels,
    fit,
    split,
)
from opsin.core.collections.collections import inputs_of
from opsin.core.collections.member_vectors import Members
from opsin.core.records import Collection
from opsin.storage.ids import new_id

REPEATED = "the same vector and label as another member"
CONTRADICTED = "the same vector as a member with the other label"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingReport:
    """What came of a training: the new classifier, and how everybody did, best first.

    `members` counts by label what there is, `trained` and `held_out` what it was split into,
    `left_out` by reason what was not used.
    """

    collection: Collection
    new: Standing
    standings: Sequence[Standing]
    members: dict[str, int]
    trained: dict[str, int]
    held_out: dict[str, int]
    left_out: dict[str, int]

    @property
    def best(self) -> Standing:
        return self.standings[0]


def train(
    collection: Collection, members: Members, kept: Sequence[Candidate]
) -> tuple[TrainingReport, str]:
    """Train, and rank the new classifier among the `kept`, which come newest first.

    Gives the report and the new document's text.  Runs for seconds: on a thread, please.  Raises
    Conflict when the members do not suffice, OperationUnavailable without scikit-learn.
    """
    check_labels(members.labels)
    marks = [row_mark(vector.tobytes()) for vector in members.vectors]
    used, left_out = _usable(marks, members.labels)
    labels = [members.labels[number] for number in used]
    parts = split(labels)
    vectors = members.vectors[used]
    fitted = fit(vectors[parts.trained], parts.truth[parts.trained])
    trained = dict(Counter(labels[number] for number in parts.trained))
    held_out = dict(Counter(labels[number] for number in parts.held_out))
    document = ClassifierDocument(
        inputs=inputs_of(collection),
        fingerprints=members.fingerprints,
        coefficients=fitted.coefficients,
        intercept=fitted.intercept,
        training=TrainedOn(
            library=fitted.library,
            parameters={**PARAMETERS, "held_out": HELD_OUT},
            members=dict(Counter(members.labels)),
            trained=trained,
            held_out=held_out,
            seen=tuple(sorted(marks[used[number]] for number in parts.trained)),
        ),
    )
    text = document.as_text()
    new = Candidate(new_id(), digest_of(text), datetime.now(UTC), document)
    others = [one for one in kept if one.digest != new.digest]
    rows = HeldOut(
        vectors[parts.held_out],
        parts.truth[parts.held_out],
        [marks[used[number]] for number in parts.held_out],
    )
    standings = hold(new, others, rows)
    (mine,) = (one for one in standings if one.candidate is new)
    report = TrainingReport(
        collection,
        mine,
        standings,
        members=dict(Counter(members.labels)),
        trained=trained,
        held_out=held_out,
        left_out=left_out,
    )
    return report, text


def _usable(marks: Sequence[str], labels: Sequence[str]) -> tuple[list[int], dict[str, int]]:
    """The numbers of the rows to use, and by reason how many are left out.

    A row that is there twice could be trained on and held out at once.
    """
    meant: dict[str, set[str]] = {}
    for mark, label in zip(marks, labels, strict=True):
        meant.setdefault(mark, set()).add(label)
    used: list[int] = []
    left_out: Counter[str] = Counter()
    taken: set[str] = set()
    for number, mark in enumerate(marks):
        if len(meant[mark]) > 1:
            left_out[CONTRADICTED] += 1
        elif mark in taken:
            left_out[REPEATED] += 1
        else:
            taken.add(mark)
            used.append(number)
    return used, dict(left_out)
