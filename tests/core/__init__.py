"""Tests of `opsin.core`."""
