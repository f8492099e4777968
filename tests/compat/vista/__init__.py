"""Tests of the VISTA API, over real HTTP."""
