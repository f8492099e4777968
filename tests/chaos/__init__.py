"""Faults made on purpose, with real parts, and one ledger that judges what is left."""
