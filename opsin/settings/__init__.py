"""The environment as one frozen `Settings`, handed down as values."""

from opsin.settings.environment import DOCUMENTED_NAMES, environment_with, load_settings, misspelt
from opsin.settings.settings import Settings

__all__ = ["DOCUMENTED_NAMES", "Settings", "environment_with", "load_settings", "misspelt"]
