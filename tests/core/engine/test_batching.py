"""Which items are batched, in which order, and whose turn it is."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from opsin.core.contract import Item, Params
from opsin.core.engine.batch_size import BatchSizes
from opsin.core.engine.batching import FairShare, RunnerQueue, Ticket, deliver
from opsin.core.engine.loading import LoadedRunner
from opsin.core.errors import OpsinError
from tests.core.engine.workbench import Plain

NEVER = float("inf")


@dataclass(eq=False)
class Caller:
    priority: int = 0
    deadline: float = NEVER
    closed: bool = False
    error: OpsinError | None = None

    def fail(self, error: OpsinError) -> None:
        self.error = error


def queue(max_batch: int = 4, ahead: int = 0) -> RunnerQueue:
    runner = Plain(lambda batch: batch, max_batch)
    loaded = LoadedRunner("operation 'x'", runner, "cpu", (), True)
    return RunnerQueue(loaded, BatchSizes(runner.max_batch), ahead)


def ticket(name: str, caller: Caller | None = None, now: float = 0.0) -> Ticket:
    item: Item[Any] = Item(cast(Any, name), Params())
    return Ticket(item, caller or Caller(), now, lambda answer, completed: None)


def names(tickets: list[Ticket]) -> str:
    return "".join(cast(str, t.item.picture) for t in tickets)


def taken(q: RunnerQueue, now: float = 0.0) -> str:
    batch = q.take(now)
    return names(batch.tickets) if batch else ""


def test_items_go_in_the_order_they_came_and_no_batch_is_too_large() -> None:
    q = queue(max_batch=3)
    for name in "abcdefgh":
        q.add_ready(ticket(name))
    assert [taken(q) for _ in range(4)] == ["abc", "def", "gh", ""]
    assert q.running == 8


def test_only_equal_keys_share_a_batch_and_the_oldest_item_decides_which() -> None:
    q = queue()
    for name, key in zip("abcdef", (1, 2, 1, 2, 2, 1), strict=True):
        q.add_ready(ticket(name), key)
    assert [taken(q) for _ in range(3)] == ["acf", "bde", ""]


def test_priority_goes_first_but_one_step_is_worth_only_a_second() -> None:
    q = queue(max_batch=1)
    for name, priority, now in (("a", 0, 10.0), ("b", 5, 12.0), ("c", 0, 11.0), ("d", 5, 99.0)):
        q.add_ready(ticket(name, Caller(priority), now))
    assert [taken(q) for _ in range(4)] == ["b", "a", "c", "d"]


def test_what_is_late_or_given_up_is_left_out_and_makes_room() -> None:
    q = queue(max_batch=2)
    gone = Caller()
    late = Caller(deadline=5.0)
    for name, caller in zip("abcdef", (gone, late, None, gone, None, None), strict=True):
        q.add_ready(ticket(name, caller))
    gone.closed = True
    assert [taken(q, 5.0) for _ in range(3)] == ["ce", "f", ""]
    assert q.running == 3


def test_a_batch_is_no_larger_than_its_earliest_deadline_allows() -> None:
    q = queue(max_batch=8)
    for name, deadline in zip("abcdef", (NEVER, NEVER, 3.5, NEVER, 9.0, NEVER), strict=True):
        q.add_ready(ticket(name, Caller(deadline=deadline)))
    first = q.take(0.0)
    assert first is not None
    first.size.ran(6, 60.0)  # the first batch is no measure
    first.size.ran(6, 6.0)  # a second an item
    for t in first.tickets:
        q.add_ready(t)
    # The fourth would make the third late, and the fifth starts in time only without the sixth.
    assert [taken(q, 0.0), taken(q, 6.5), taken(q, 8.0)] == ["abc", "de", "f"]


def test_even_an_item_that_may_be_late_is_tried() -> None:
    q = queue()
    q.sizes.of(None).ran(1, 9.0)
    q.sizes.of(None).ran(1, 9.0)
    q.add_ready(ticket("a", Caller(deadline=5.0)))
    assert taken(q) == "a"


def test_a_caller_who_leaves_takes_all_items_along() -> None:
    q, gone = queue(ahead=2), Caller()
    for name in "ab":
        q.add_ready(ticket(name, gone), key=name)
        q.add_ready(ticket(name.upper()), key=name)
    q.add(ticket("c", gone))
    q.add(ticket("C"))
    assert q.waiting == 6
    q.discard(gone)
    assert q.waiting == 3
    assert sorted(names(q.clear())) == ["A", "B", "C"]
    assert q.waiting == 0


def test_no_more_is_prepared_ahead_than_two_batches() -> None:
    q = queue(max_batch=2)
    for name in "abcdefgh":
        q.add(ticket(name))
    prepared = []
    while t := q.next_to_prepare():
        prepared.append(t)
    assert names(prepared) == "abcd"
    assert q.waiting == 8
    for t in prepared:
        q.preparation_ended()
        q.add_ready(t)
    assert q.next_to_prepare() is None
    q.take(0)
    assert names([t for t in (q.next_to_prepare(), q.next_to_prepare()) if t]) == "ef"
    assert q.next_to_prepare() is None
    q.preparation_ended()  # it failed
    assert q.next_to_prepare() is not None


def served(share: FairShare, seconds: dict[RunnerQueue, float], turns: int) -> list[RunnerQueue]:
    order = []
    for _ in range(turns):
        q = share.next()
        assert q is not None
        q.ran(len(taken(q)), seconds[q])
        order.append(q)
    return order


def test_runners_share_the_time_and_not_the_turns() -> None:
    slow, quick = queue(max_batch=1), queue(max_batch=1)
    share = FairShare()
    share.queues += [slow, quick]
    for n in range(40):
        slow.add_ready(ticket("s", now=n))  # all of these are older than the others
    for n in range(40):
        quick.add_ready(ticket("q", now=100 + n))
    order = served(share, {slow: 1.0, quick: 0.1}, 22)
    assert order[0] is slow
    assert order[1:11] == [quick] * 10
    assert order.count(slow) == 2


def test_among_equals_the_oldest_item_goes_first() -> None:
    first, second = queue(), queue()
    share = FairShare()
    share.queues += [first, second]
    first.add_ready(ticket("b", now=2.0))
    second.add_ready(ticket("a", now=1.0))
    assert served(share, {first: 1.0, second: 1.0}, 2) == [second, first]
    assert share.next() is None


def test_idle_time_is_not_saved_up() -> None:
    busy, other = queue(max_batch=1), queue(max_batch=1)
    share = FairShare()
    share.queues += [busy, other]
    for _ in range(60):
        busy.add_ready(ticket("b"))
    served(share, {busy: 1.0, other: 1.0}, 20)
    for _ in range(60):
        other.add_ready(ticket("o"))
    order = served(share, {busy: 1.0, other: 1.0}, 20)
    assert 9 <= order.count(other) <= 11


def test_a_runner_that_was_alone_does_not_pay_for_it() -> None:
    alone, late = queue(max_batch=1), queue(max_batch=1)
    share = FairShare()
    share.queues += [alone, late]
    alone.add_ready(ticket("a"))
    served(share, {alone: 100.0}, 1)
    assert share.next() is None
    for _ in range(60):
        late.add_ready(ticket("l"))
    served(share, {late: 1.0}, 1)
    for _ in range(60):
        alone.add_ready(ticket("a"))
    order = served(share, {alone: 1.0, late: 1.0}, 20)
    assert order.count(alone) >= 9


def test_priority_counts_between_runners_too() -> None:
    plain, urgent = queue(max_batch=1), queue(max_batch=1)
    share = FairShare()
    share.queues += [plain, urgent]
    for _ in range(20):
        plain.add_ready(ticket("p", now=0.0))
        urgent.add_ready(ticket("u", Caller(priority=3), now=0.0))
    order = served(share, {plain: 1.0, urgent: 1.0}, 10)
    assert order[:3] == [urgent] * 3
    assert plain in order


def test_an_answer_that_cannot_be_taken_fails_its_owner_and_not_the_engine() -> None:
    def broken(answer: Any, completed: Any) -> None:
        raise ZeroDivisionError

    caller = Caller()
    t = Ticket(Item(cast(Any, "a"), Params()), caller, 0.0, broken)
    deliver(t, 1, None)
    assert caller.error is not None
    assert "ZeroDivisionError" in caller.error.message
    caller.error, caller.closed = None, True
    deliver(t, 1, None)
    assert caller.error is None


@pytest.mark.parametrize("key", [(1, 2), "x", None, 2.5])
def test_keys_are_compared_by_value(key: Any) -> None:
    q = queue()
    q.add_ready(ticket("a"), key)
    q.add_ready(ticket("b"), key)
    assert taken(q) == "ab"
