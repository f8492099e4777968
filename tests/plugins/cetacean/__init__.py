"""Tests of the cetacean plugin."""
