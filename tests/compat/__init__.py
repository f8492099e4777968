"""Tests of the legacy APIs."""
