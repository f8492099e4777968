"""Steps: which sets of them can be carried out, in which order, and what one lacks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsin import Step
from opsin.core.applications.steps import MOST_STEPS, in_order, missing_prerequisites, problem_of


def step(key: str, *requires: str) -> Step:
    return Step(key, "fake", requires=requires)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "1 to 100 steps"),
        ([step(f"s{n}") for n in range(MOST_STEPS + 1)], "1 to 100 steps"),
        ([{"key": "a"}], "expected Step, got dict"),
        ([step("")], "the key of a step"),
        ([step("with blank")], "the key of a step"),
        ([step("\ud800")], "the key of a step"),
        ([step("a" * 256)], "the key of a step"),
        ([Step(3, "fake")], "the key of a step"),  # type: ignore[arg-type]  # wrong on purpose
        ([Step("a", "")], "name of an operation"),
        ([step("a"), step("a")], "same key"),
        ([step("a", "b")], "requires 'b', which is no step"),
        ([step("a", "b"), step("b", "c"), step("c", "a")], "in a circle"),
        ([step("a", "a")], "in a circle"),
    ],
)
def test_what_cannot_be_carried_out_is_told(steps: list[Any], words: str) -> None:
    assert words in (problem_of(steps) or "")


def test_a_hundred_steps_are_fine() -> None:
    steps = [step("first"), *(step(f"v2.{n}", "first") for n in range(MOST_STEPS - 1))]
    assert problem_of(steps) is None


@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12), st.randoms())
def test_each_step_follows_those_that_it_requires(required: list[set[int]], random: Any) -> None:
    """Steps that require earlier numbers only, given in any order."""
    steps = [
        step(str(n), *(str(other) for other in others if other < n))
        for n, others in enumerate(required)
    ]
    random.shuffle(steps)
    ordered = in_order(steps)
    assert sorted(ordered, key=lambda s: s.key) == sorted(steps, key=lambda s: s.key)
    for position, one in enumerate(ordered):
        assert set(one.requires) <= {earlier.key for earlier in ordered[:position]}


def test_without_requirements_the_order_is_the_given_one() -> None:
    steps = [step("c"), step("a"), step("b")]
    assert list(in_order(steps)) == steps


def test_a_step_lacks_what_is_not_enabled_also_at_second_hand() -> None:
    steps = [step("a"), step("b", "a"), step("c", "b"), step("d"), step("e", "d")]
    assert missing_prerequisites(steps, ["a", "b", "c", "d", "e"]) == {}
    assert missing_prerequisites(steps, ["b", "c", "d", "e"]) == {"b": "a", "c": "a"}
    assert missing_prerequisites(steps, ["c", "e"]) == {"c": "b", "e": "d"}
    assert missing_prerequisites(steps, ["a", "d"]) == {}
