"""Tests of the plugin `caption`."""
