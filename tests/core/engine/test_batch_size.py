"""How the batch size is learned from what batches take, and from memory that ran out."""

from collections.abc import Callable

import pytest

from opsin.core.engine.batch_size import BatchSize, BatchSizes, LearnedSizes


def work(size: BatchSize, cost: Callable[[int], float], batches: int, waiting: int = 999) -> int:
    """Run so many batches, as large as allowed; `cost` gives seconds an item by batch size."""
    for _ in range(batches):
        count = min(size.limit, waiting)
        size.ran(count, cost(count) * count)
    return size.limit


def accelerator(count: int) -> float:
    return 0.001 + 0.01 / count


def small_caches(count: int) -> float:
    """EfficientNet-B4 at 512 pixels on a processor: slower an item from one to eight."""
    return {1: 0.24, 2: 0.26, 4: 0.35, 8: 0.57}[1 << (count.bit_length() - 1)]


def in_the_middle(count: int) -> float:
    return {1: 0.092, 2: 0.07, 4: 0.055, 8: 0.05, 16: 0.06, 32: 0.08}[1 << (count.bit_length() - 1)]


def seen(size: BatchSize, cost: Callable[[int], float]) -> None:
    """What a server sees in its first minutes: a cold start, then batches of all sizes."""
    size.ran(1, 30.0)
    count = 1
    while count <= 32:
        size.ran(min(count, size.limit), cost(min(count, size.limit)) * min(count, size.limit))
        count *= 2


def test_without_evidence_it_is_the_runners_maximum() -> None:
    assert BatchSize(16).limit == 16
    assert BatchSize(0).limit == BatchSize(-3).limit == 1


def test_where_larger_is_cheaper_it_stays_the_maximum() -> None:
    size = BatchSize(32)
    seen(size, accelerator)
    assert work(size, accelerator, 500) == 32


def test_where_larger_is_dearer_items_go_alone() -> None:
    size = BatchSize(8)
    seen(size, small_caches)
    assert work(size, small_caches, 20) == 1


def test_the_best_size_between_one_and_the_maximum_is_found() -> None:
    size = BatchSize(32)
    seen(size, in_the_middle)
    assert work(size, in_the_middle, 10) == 8


def test_under_a_backlog_from_the_first_moment_a_smaller_best_size_is_found() -> None:
    size = BatchSize(8)
    assert work(size, small_caches, 100) == 1


def test_the_first_batch_which_sets_up_the_device_is_no_measure() -> None:
    size = BatchSize(4)
    size.ran(1, 60.0)
    assert size.seconds(1) == 0.0
    size.ran(1, 0.5)
    assert size.seconds(1) == 0.5
    assert size.seconds(3) == 1.5


def test_one_disturbed_batch_does_not_change_the_size() -> None:
    size = BatchSize(32)
    seen(size, accelerator)
    size.ran(32, 99.0)
    assert work(size, accelerator, 1) == 32


def test_a_larger_size_is_tried_again_and_taken_when_it_has_become_cheaper() -> None:
    size = BatchSize(8)
    seen(size, small_caches)
    assert work(size, small_caches, 10) == 1
    assert work(size, accelerator, 400) == 8


def test_memory_that_ran_out_is_tried_again_after_some_minutes() -> None:
    now = 0.0
    size = BatchSize(16, clock=lambda: now)
    size.refused(16)
    assert size.limit == 8
    size.refused(8)
    assert size.limit == 4
    now = 299.0
    assert size.limit == 4
    now = 301.0
    assert size.limit == 8
    assert size.limit == 8
    now = 602.0
    assert size.limit == 16


def test_each_shape_has_a_size_of_its_own_and_only_some_are_remembered() -> None:
    sizes = BatchSizes(16)
    sizes.of((1, 2)).refused(16)
    assert sizes.of((1, 2)).limit == 8
    assert sizes.of((2, 1)).limit == 16
    assert sizes.largest == 16
    for shape in range(200):
        sizes.of(shape)
    assert sizes.of((1, 2)).limit == 16  # forgotten


def test_what_was_learned_holds_for_the_next_runner_of_its_kind() -> None:
    learned = LearnedSizes()
    sizes = learned.of("first weights", 16)
    assert work(sizes.of((1, 2)), lambda count: 0.1 * count, 100) == 1
    again = learned.of("first weights", 16)
    assert (again.of((1, 2)).limit, again.of((2, 1)).limit, again.largest) == (1, 16, 16)
    # Its first batch sets up the device again, and is no measure again.
    again.of((1, 2)).ran(1, 60.0)
    assert again.of((1, 2)).seconds(1) == pytest.approx(0.1)
    assert learned.of("other weights", 16).of((1, 2)).limit == 16
    assert learned.of("first weights", 32).of((1, 2)).limit == 32


def test_only_some_kinds_of_runners_are_remembered() -> None:
    learned = LearnedSizes()
    learned.of(0, 16).of(None).refused(16)
    for kind in range(1, 100):
        learned.of(kind, 16)
    assert learned.of(99, 16) is learned.of(99, 16)
    assert learned.of(0, 16).of(None).limit == 16


def test_a_key_that_cannot_be_hashed_is_the_plugins_error() -> None:
    with pytest.raises(TypeError):
        BatchSizes(4).of([])  # type: ignore[arg-type]  # what a careless plugin returns
