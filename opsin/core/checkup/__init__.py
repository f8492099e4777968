"""Looks at what an installation stands on, and says what to do where that is not well."""

from opsin.core.checkup.findings import Finding, Verdict, bad, good, look, poor

__all__ = ["Finding", "Verdict", "bad", "good", "look", "poor"]
