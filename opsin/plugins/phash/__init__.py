"""Hashes by which near-duplicates of a picture are found."""
