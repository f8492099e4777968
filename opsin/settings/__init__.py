"""The environment as one frozen `Settings`, handed down as values."""

from opsin.settings.environment import environment_with, load_settings
from opsin.settings.settings import Settings

__all__ = ["Settings", "environment_with", "load_settings"]
