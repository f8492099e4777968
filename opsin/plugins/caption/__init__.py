"""Captions: pictures described in words."""
