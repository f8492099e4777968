"""The suite any plugin must pass: `opsin plugins check`, or `check_plugin` in its own tests."""

from opsin.core.conformance.suite import Finding, Verdict, check_plugin

__all__ = ["Finding", "Verdict", "check_plugin"]
