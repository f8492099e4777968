"""The cache keeps to its bound, whatever is put in."""

from hypothesis import given
from hypothesis import strategies as st

from opsin.core.bounded_cache import BoundedCache


def test_what_was_used_least_recently_goes_first() -> None:
    gone: list[tuple[str, int]] = []
    cache: BoundedCache[str, int] = BoundedCache(3, lambda key, value: gone.append((key, value)))
    for number, name in enumerate("abc"):
        cache.put(name, number, 1)
    assert cache.get("a") == 0
    cache.put("d", 3, 1)
    assert gone == [("b", 1)]
    assert (cache.get("b"), cache.get("a"), len(cache), cache.size) == (None, 0, 3, 3)
    cache.put("e", 4, 2)
    assert gone == [("b", 1), ("c", 2), ("d", 3)]


def test_what_is_too_large_puts_nobody_out() -> None:
    gone: list[str] = []
    cache: BoundedCache[str, int] = BoundedCache(3, lambda key, value: gone.append(key))
    cache.put("a", 1, 2)
    cache.put("huge", 2, 4)
    assert (gone, cache.get("a"), cache.get("huge")) == (["huge"], 1, None)
    nothing: BoundedCache[str, int] = BoundedCache(0)
    nothing.put("a", 1, 1)
    assert nothing.get("a") is None


def test_what_is_taken_or_replaced_is_not_evicted() -> None:
    gone: list[str] = []
    cache: BoundedCache[str, int] = BoundedCache(3, lambda key, value: gone.append(key))
    cache.put("a", 1, 1)
    cache.put("a", 2, 3)
    assert (cache.size, cache.take("a"), cache.take("a")) == (3, 2, None)
    assert (cache.size, gone) == (0, [])
    cache.put("b", 1, 2)
    cache.shrink(1)
    assert (cache.size, gone) == (0, ["b"])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60), st.integers(0, 20))
def test_the_bound_holds_and_every_size_is_accounted_for(
    puts: list[tuple[int, int]], limit: int
) -> None:
    kept: dict[int, int] = {}
    cache: BoundedCache[int, int] = BoundedCache(limit, lambda key, value: kept.pop(key))
    for key, size in puts:
        kept[key] = size
        cache.put(key, size, size)
        assert cache.size == sum(kept.values()) <= limit
        assert len(cache) == len(kept)
