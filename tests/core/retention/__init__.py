"""Tests of retention and of deletion in parts."""
