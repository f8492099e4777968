"""Whatever the bytes, they decode or are refused, and nothing else happens."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsin.core.errors import InvalidImage, TooLarge
from opsin.core.imaging import DecodeOptions, ImageLimits, decode, probe
from opsin.core.thumbnails import thumbnail
from tests import pictures

LIMITS = ImageLimits(max_pixels=1_000_000)
SEEDS = pictures.of_every_kind()
OPTIONS = (DecodeOptions(), DecodeOptions(apply_orientation=False, alpha="drop"))
BOUNDED = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid small file with a few bytes changed, put in or taken out."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(("change", "change", "change", "insert", "delete", "cut")))
        if how == "change":
            data[at : at + 1] = bytes([draw(st.sampled_from((0, 1, 127, 128, 255)))])
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=12))
        elif how == "delete":
            del data[at : at + draw(st.integers(1, 12))]
        else:
            del data[max(at, len(data) // 4) :]
    return bytes(data)


def survives(data: bytes) -> None:
    for options in OPTIONS:
        try:
            info = probe(data, LIMITS, options)
            decoded = decode(data, LIMITS, options)
        except (InvalidImage, TooLarge) as refusal:
            assert 0 < len(refusal.message) < 120
            assert "0x" not in refusal.message and "/" not in refusal.message
        else:
            assert decoded.info == info
            assert decoded.pixels.shape == (info.height, info.width, 3)
    with contextlib.suppress(InvalidImage, TooLarge):
        thumbnail(data, LIMITS, 8, 8)


@pytest.mark.parametrize("data", SEEDS)
def test_the_files_to_be_mutated_are_valid(data: bytes) -> None:
    assert decode(data, LIMITS).pixels.size


@BOUNDED
@given(mutated())
def test_mutated_files(data: bytes) -> None:
    survives(data)


@BOUNDED
@given(st.sampled_from(SEEDS), st.integers(2, 32), st.binary(max_size=200))
def test_an_honest_beginning_and_then_anything(seed: bytes, kept: int, rest: bytes) -> None:
    survives(seed[:kept] + rest)


@BOUNDED
@given(st.binary(max_size=100))
def test_anything_at_all(data: bytes) -> None:
    survives(data)
