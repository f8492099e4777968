"""The short form of the fault tests, for every run, and the long one, for `make chaos`."""

import os

import pytest

LONG = int(os.environ.get("CHAOS_ANALYSES", "0"))
"""How many analyses the long form asks for; 0 where it was not asked for."""

long_form = pytest.mark.skipif(not LONG, reason="the long form: make chaos")

START = 120.0
"""Seconds within which a process starts, also on a machine with much else to do."""
