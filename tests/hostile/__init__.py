"""Callers who want to do harm: what they try, and that it comes to nothing."""
