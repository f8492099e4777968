"""Tests of `opsin.storage`."""
