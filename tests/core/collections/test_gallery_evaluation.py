"""The measures of identification, counted by hand and against loops."""

from typing import Any

import numpy as np
import pytest

from opsin.core.collections.gallery_evaluation import (
    UNKNOWN_SPECIES,
    Answer,
    Combine,
    LabelledVectors,
    evaluate,
    look_for,
)
from opsin.core.errors import InvalidInput


def pictures(*told: tuple[str, float]) -> LabelledVectors:
    """Each as a direction in the plane, in degrees."""
    angles = np.radians([angle for _, angle in told])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return LabelledVectors.of(rows.tolist(), [label for label, _ in told])


def random_pictures(seed: int, count: int = 40, names: int = 9) -> LabelledVectors:
    random = np.random.default_rng(seed)
    labels = [f"id{number}" for number in random.integers(0, names, count)]
    return LabelledVectors.of(random.normal(size=(count, 6)).tolist(), labels)


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


# --- looking for pictures -------------------------------------------------------------------------


@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize(
    ("combine", "nearest"), [(Combine.MAX, None), (Combine.MEAN, None), (Combine.MEAN, 2)]
)
def test_answers_are_those_of_a_loop(
    combine: Combine, nearest: int | None, leave_one_out: bool
) -> None:
    queries = random_pictures(1)
    gallery = None if leave_one_out else random_pictures(2, count=30, names=7)
    found = look_for(queries, gallery, combine=combine, nearest=nearest)
    known = gallery or queries
    for index, (label, vector, answer) in enumerate(
        zip(queries.labels, queries.vectors, found, strict=True)
    ):
        by_label: dict[str, list[float]] = {}
        for other, (name, row) in enumerate(zip(known.labels, known.vectors, strict=True)):
            if not (leave_one_out and other == index):
                by_label.setdefault(name, []).append(float(vector @ row))
        scores = {}
        for name, values in by_label.items():
            best = sorted(values, reverse=True)[: 1 if combine is Combine.MAX else nearest]
            scores[name] = sum(best) / len(best)
        expected = sorted(scores, key=lambda name: -scores[name])[:5]
        assert answer.candidates == tuple(expected)
        assert answer.cosines == pytest.approx([scores[name] for name in expected], abs=1e-6)
        assert (answer.label, answer.is_known) == (label, label in by_label)


def test_a_picture_is_not_found_by_itself() -> None:
    alone, one, _ = look_for(pictures(("a", 0), ("b", 50), ("b", 90)))
    assert (alone.is_known, alone.candidates) == (False, ("b",))
    assert (one.is_known, one.candidates) == (True, ("b", "a"))
    assert one.cosines == pytest.approx((cosine(40), cosine(50)), abs=1e-6)
    (single,) = look_for(pictures(("a", 0)))
    assert (single.candidates, single.best) == ((), -1.0)


def test_galleries_and_queries_that_do_not_go_together() -> None:
    with pytest.raises(InvalidInput, match="differ in length"):
        look_for(pictures(("a", 0)), random_pictures(0))
    with pytest.raises(InvalidInput, match="no direction"):
        LabelledVectors.of([[0.0, 0.0]], ["a"])


# --- the measures ---------------------------------------------------------------------------------


def answer(label: str, known: bool, *candidates: tuple[str, float]) -> Answer:
    return Answer(
        label, known, tuple(name for name, _ in candidates), tuple(c for _, c in candidates)
    )


@pytest.mark.parametrize(
    ("one", "threshold", "expected"),
    [
        (answer("a", True, ("a", 0.9), ("b", 0.8)), 0.5, 1),
        (answer("b", True, ("a", 0.9), ("b", 0.8)), 0.5, 1 / 2),
        (answer("b", True, ("a", 0.9), ("b", 0.8)), 0.85, 1 / 3),  # a, new, b
        (answer("a", True, ("a", 0.9), ("b", 0.8)), 0.95, 1 / 2),  # new, a, b
        (answer("x", False, ("a", 0.9), ("b", 0.8)), 0.95, 1),
        (answer("x", False, ("a", 0.9), ("b", 0.8)), 0.85, 1 / 2),
        (answer("x", False, ("a", 0.9), ("b", 0.8)), 0.5, 1 / 3),
        (answer("c", True, ("a", 0.9), ("b", 0.8)), 0.5, 0),
        (answer("x", False, *((f"{n}", 0.9) for n in range(5))), 0.5, 0),  # the sixth place
        (answer("4", True, *((f"{n}", 0.9) for n in range(5))), 0.95, 0),  # pushed out
        (answer("4", True, *((f"{n}", 0.9) for n in range(5))), 0.5, 1 / 5),
    ],
)
def test_average_precision_with_new_individuals(
    one: Answer, threshold: float, expected: float
) -> None:
    assert one.precision(threshold) == pytest.approx(expected)


def some_answers() -> list[Answer]:
    return [
        answer("a", True, ("a", 0.9), ("b", 0.2)),
        answer("a", True, ("b", 0.8), ("a", 0.7)),
        answer("a", True, ("a", 0.4), ("b", 0.3)),
        answer("b", True, ("b", 0.95), ("a", 0.1)),
        answer("x", False, ("a", 0.5), ("b", 0.2)),
        answer("x", False, ("a", 0.85), ("b", 0.2)),
        answer("y", False, ("b", 0.3), ("a", 0.2)),
    ]


def measured(given: list[Answer], **more: Any) -> Any:
    return evaluate(given, individuals=2, gallery_pictures=9, **more)


def test_closed_and_open_set_measures() -> None:
    found = measured(some_answers(), threshold=0.6)
    assert (found.known, found.unknown) == (4, 3)
    assert (found.closed.top_1, found.closed.top_5) == (0.75, 1.0)
    # Of a, one of three is named rightly and near enough; of b, the only one.
    assert found.chosen.known == pytest.approx((1 / 3 + 1) / 2)
    # Of x, one of two is called new; of y, the only one.
    assert found.chosen.unknown == pytest.approx((1 / 2 + 1) / 2)
    assert found.chosen.both == pytest.approx(((2 / 3) * (3 / 4)) ** 0.5)
    expected = [1, 1 / 2, 1 / 2, 1, 1, 1 / 2, 1]
    assert found.chosen.map_5 == pytest.approx(sum(expected) / 7)
    assert found.is_given


def test_a_threshold_that_is_not_given_is_the_best_of_both() -> None:
    found = measured(some_answers())
    assert not found.is_given
    assert found.chosen.both == max(one.both for one in found.sweep)
    again = measured(some_answers(), threshold=found.chosen.threshold)
    assert again.chosen == found.chosen


def test_where_all_are_known_nobody_is_called_new() -> None:
    found = measured([one for one in some_answers() if one.is_known])
    assert (found.chosen.threshold, found.chosen.unknown, found.chosen.both) == (-1.0, None, None)
    assert found.chosen.map_5 == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    nobody = measured([one for one in some_answers() if not one.is_known])
    assert (nobody.closed.top_1, nobody.chosen.known) == (None, None)


def test_measures_by_species() -> None:
    found = measured(some_answers(), species={"a": "orca", "x": "orca"})
    assert list(found.species) == [UNKNOWN_SPECIES, "orca"]
    assert (found.species["orca"].pictures, found.species["orca"].top_1) == (3, 2 / 3)
    assert found.species[UNKNOWN_SPECIES].top_1 == 1.0
    assert measured(some_answers()).species == {}


def test_individuals_that_are_far_apart_are_told_apart() -> None:
    queries = pictures(("a", 0), ("a", 3), ("b", 60), ("b", 63), ("c", 120))
    found = measured(look_for(queries))
    assert (found.closed.top_1, found.chosen.both, found.chosen.map_5) == (1.0, 1.0, 1.0)
    with pytest.raises(InvalidInput, match="no picture to look for"):
        measured([])
