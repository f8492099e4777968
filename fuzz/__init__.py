"""Fuzzing of everything that reads foreign bytes: `python -m fuzz --help`."""
