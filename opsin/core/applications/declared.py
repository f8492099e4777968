"""The applications that are known from code: those of plugins, and those that a door declares."""

from collections.abc import Iterable

from opsin.core.contract import Application
from opsin.core.errors import ConfigurationError, DuplicateName
from opsin.core.plugin_host import PluginHost
from opsin.core.plugin_host.checks import application_problem


class DeclaredApplications:
    """Every company sees them; nobody changes them while the server runs."""

    def __init__(self, host: PluginHost) -> None:
        self._by_id = {one.application.id: one.application for one in host.applications.values()}
        self._owners = {one.application.name: one.plugin.name for one in host.applications.values()}

    def declare(self, application: Application, owner: str = "opsin") -> None:
        """Add one while the server is put together.

        Its operations need not be here: its steps fail for as long as they are not.
        """
        problem = application_problem(application)
        if problem is not None:
            raise ConfigurationError(problem)
        if application.name in self._owners or application.id in self._by_id:
            taken = self._owners.get(application.name, "another application")
            raise DuplicateName(
                owner, f"application {application.name!r} is already taken by {taken!r}"
            )
        self._by_id[application.id] = application
        self._owners[application.name] = owner

    def find(self, application_id: str) -> Application | None:
        return self._by_id.get(application_id)

    def has_name(self, name: str) -> bool:
        return name in self._owners

    def all(self) -> Iterable[Application]:
        """In the order in which they were declared, plugins' first."""
        return self._by_id.values()
