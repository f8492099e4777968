"""How long a refusal takes tells nothing of how much of a key was right."""

import random
import statistics
import time
from collections.abc import Callable, Mapping

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import Unauthenticated
from opsin.core.tokens import NewToken, TokenParts

_ROUNDS = 400


async def timed(parts: Parts, keys: Mapping[str, Callable[[], str]]) -> dict[str, list[float]]:
    """Seconds of refusing each kind of wrong key, the kinds in a random order in each round."""
    access = parts.use_cases.access
    found: dict[str, list[float]] = {name: [] for name in keys}
    numbers = random.Random(1)
    for _ in range(_ROUNDS):
        for name in numbers.sample(list(keys), len(keys)):
            key = keys[name]()
            started = time.perf_counter()
            with pytest.raises(Unauthenticated):
                await access.authenticate(key)
            found[name].append(time.perf_counter() - started)
    return found


async def test_a_wrong_secret_takes_as_long_however_much_of_it_is_right(house: Parts) -> None:
    """Nobody's key, one with a good prefix, and one that is wrong in its last character only.

    Of two of the same kind the medians differ too, by chance: the kinds may not differ by much
    more than that.  A comparison that stops at the first difference is told from this one by far
    less than a network's own noise, so it is its code that the other test looks at.
    """
    company = await house.use_cases.access.ensure_company("ours")
    owner = Principal(company.id, "the operator")
    good = (await house.use_cases.api_keys.create(owner, "a key"))[1]
    prefix, secret = TokenParts.of(good).prefix, TokenParts.of(good).secret
    last = "A" if secret[-1] != "A" else "B"
    keys: dict[str, Callable[[], str]] = {
        "unknown": lambda: NewToken.make().text,
        "unknown again": lambda: NewToken.make().text,
        "right prefix": lambda: f"opsin_{prefix}_{TokenParts.of(NewToken.make().text).secret}",
        "all but one": lambda: f"opsin_{prefix}_{secret[:-1]}{last}",
    }
    medians = {name: statistics.median(one) for name, one in (await timed(house, keys)).items()}
    noise = abs(medians["unknown"] - medians["unknown again"])
    usual = medians["unknown"]
    for median in medians.values():
        assert abs(median - usual) < max(10 * noise, 0.5 * usual), medians


def test_secrets_are_compared_whole() -> None:
    """By their digests, of which nobody can choose how much is right, and in constant time."""
    good = NewToken.make()
    wrong = [
        good.text[:-1] + ("A" if good.text[-1] != "A" else "B"),
        good.text[:-20],
        good.text + "x",
    ]
    assert TokenParts.of(good.text).fits(good.secret_sha256)
    for text in wrong:
        assert not TokenParts.of(text).fits(good.secret_sha256)
    assert "compare_digest" in TokenParts.fits.__code__.co_names
