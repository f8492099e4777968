"""The command line."""

from opsin.cli.main import main

__all__ = ["main"]
