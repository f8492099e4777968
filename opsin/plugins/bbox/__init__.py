"""Bounding boxes of the prominent person and face."""
