"""Tests of `opsin.core.engine`."""
