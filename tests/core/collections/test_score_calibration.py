"""Thresholds against counting by hand, and the area under the curve against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from opsin.core.collections.score_calibration import Goal, calibrate, interval
from opsin.core.errors import InvalidInput

POSITIVES = [0.9, 0.8, 0.8, 0.6, 0.3]
NEGATIVES = [0.7, 0.5, 0.2, 0.1]


@pytest.mark.parametrize(
    ("goal", "wanted", "threshold", "passed"),
    [
        (Goal.RECALL, 0.6, 0.75, (3, 0)),
        (Goal.RECALL, 0.61, 0.55, (4, 1)),
        (Goal.RECALL, 1.0, 0.25, (5, 2)),
        (Goal.RECALL, 0.0, 0.85, (1, 0)),
        (Goal.SPECIFICITY, 1.0, 0.75, (3, 0)),
        (Goal.SPECIFICITY, 0.75, 0.55, (4, 1)),
        (Goal.SPECIFICITY, 0.0, 0.1, (5, 4)),
        (Goal.PRECISION, 0.8, 0.55, (4, 1)),
        (Goal.PRECISION, 0.7, 0.25, (5, 2)),
    ],
)
def test_the_threshold_reaches_the_goal_at_the_least_cost(
    goal: Goal, wanted: float, threshold: float, passed: tuple[int, int]
) -> None:
    chosen = calibrate(POSITIVES, NEGATIVES, goal, wanted).chosen
    assert chosen.threshold == pytest.approx(threshold)
    assert (chosen.true_positives, chosen.false_positives) == passed
    counted = [sum(s >= chosen.threshold for s in scores) for scores in (POSITIVES, NEGATIVES)]
    assert tuple(counted) == passed
    value = chosen.value(goal)
    assert value is not None and value >= wanted


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    positives = np.round(random.normal(0.6, 0.2, 40), 2)
    negatives = np.round(random.normal(0.4, 0.2, 60), 2)  # with ties
    found = calibrate(positives.tolist(), negatives.tolist(), Goal.RECALL, 0.9)
    truth = [1] * 40 + [0] * 60
    scores = np.concatenate([positives, negatives])
    assert found.area == pytest.approx(roc_auc_score(truth, scores))
    fallout, recall, _ = roc_curve(truth, scores, drop_intermediate=False)
    ours = [(1 - one.specificity, one.recall) for one in found.curve]
    assert ours == [pytest.approx(pair) for pair in zip(fallout[1:], recall[1:], strict=True)]
    for one in found.curve:
        assert one.true_positives == (positives >= one.threshold).sum()
        assert one.false_positives == (negatives >= one.threshold).sum()


def test_neighbouring_floats_are_parted() -> None:
    above = float(np.nextafter(0.5, 1))
    chosen = calibrate([above], [0.5], Goal.RECALL, 1).chosen
    assert (chosen.true_positives, chosen.false_positives) == (1, 0)
    assert above >= chosen.threshold > 0.5


@pytest.mark.parametrize(
    ("positives", "negatives", "goal", "wanted", "complaint"),
    [
        ([], [0.1], Goal.RECALL, 0.9, "both positive and negative pictures are needed"),
        ([0.1], [], Goal.RECALL, 0.9, "both positive and negative pictures are needed"),
        ([float("nan")], [0.1], Goal.RECALL, 0.9, "not finite"),
        ([0.1, 0.2], [0.3], Goal.PRECISION, 0.9, "no threshold has a precision of 0.9"),
        ([0.1], [0.3], Goal.SPECIFICITY, 0.5, "no threshold has a specificity of 0.5"),
    ],
)
def test_what_cannot_be_reached_is_said(
    positives: list[float], negatives: list[float], goal: Goal, wanted: float, complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        calibrate(positives, negatives, goal, wanted)


def test_intervals_are_wilsons() -> None:
    assert interval(0.95, 100) == pytest.approx((0.8882, 0.9785), abs=1e-4)
    assert interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert interval(0.0, 10)[0] == 0
