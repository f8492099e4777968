"""Tests of the read compiler."""
