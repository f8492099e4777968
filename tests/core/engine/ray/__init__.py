"""Tests of the engine over a Ray cluster, which runs here."""
