"""What a company gets of another's results: the numbers, as if they were computed for it now.

How soon they come must not tell that somebody else has this picture.
"""

from dataclasses import replace

from opsin.core.engine import Outcome, Provenance

LONGEST_WAIT = 10.0
"""Seconds for which a lent answer is held back at most."""


def may_be_lent(provenance: Provenance) -> bool:
    """Whether it tells how long computing all of it takes; else another company computes it."""
    return not provenance.inputs_reused


def seconds_held_back(provenance: Provenance) -> float:
    """From the question to the answer: as long as computing it took, within a bound."""
    return min(_seconds(provenance), LONGEST_WAIT)


def as_if_now(outcome: Outcome, seconds: float) -> Outcome:
    """A lent outcome whose timings are those of a request that took so many seconds."""
    waited = max(seconds - _seconds(outcome.provenance), 0.0) * 1000
    timings = replace(outcome.provenance.timings, queued=waited)
    return replace(outcome, provenance=replace(outcome.provenance, timings=timings))


def _seconds(provenance: Provenance) -> float:
    """How long the steps of a computation took, without what it waited for others."""
    timings = provenance.timings
    return (timings.decode + timings.region + timings.inputs + timings.run) / 1000
