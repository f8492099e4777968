"""Applications, runs, and a run's work on an image, as callers see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opsin.core.contract import Application, Step
from opsin.core.pages import Listing
from opsin.storage.applications import application_runs, applications, image_runs


@dataclass(frozen=True, slots=True)
class ApplicationInfo:
    """An application: a plugin's or a door's, which every company sees, or a company's own."""

    id: str
    name: str
    title: str
    description: str
    image_type: str | None
    steps: tuple[Step, ...]
    company_id: str | None = None
    """None for those that are declared in code, and so are the three after it."""
    created_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, declared: Application) -> "ApplicationInfo":
        return cls(
            id=declared.id,
            name=declared.name,
            title=declared.title,
            description=declared.description,
            image_type=declared.image_type,
            steps=declared.steps,
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its steps."""
        return tuple(step.key for step in self.steps)


@dataclass(frozen=True, slots=True)
class StoredApplication:
    """A row of `applications`."""

    id: str
    company_id: str
    name: str
    title: str
    description: str
    image_type: str | None
    steps: list[dict[str, Any]]
    created_by: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def info(self) -> ApplicationInfo:
        return ApplicationInfo(
            id=self.id,
            name=self.name,
            title=self.title,
            description=self.description,
            image_type=self.image_type,
            steps=steps_of(self.steps),
            company_id=self.company_id,
            created_by=self.created_by,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """An application attached to a dataset; one that was detached keeps its results."""

    id: str
    company_id: str
    dataset_id: str
    application_id: str
    steps: list[str]
    """Keys of the steps that are enabled, in the application's order."""
    is_enabled: bool
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    history: list[dict[str, Any]]
    """What it was before, oldest first: `until` (ISO 8601), `steps`, `is_enabled`."""
    backfill_until: str | None
    """Images up to this one are still being asked for, and None when all have been: ..."""
    backfill_after: str | None
    """... those behind this one."""


@dataclass(frozen=True, slots=True)
class ImageRun:
    """What one run does with one image."""

    image_id: str
    run_id: str
    company_id: str
    is_live: bool
    """Whether it was asked for when the image came, and not afterwards."""
    created_at: datetime
    completed_at: datetime | None
    """When the last of its analyses ended for the first time."""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many images a run has been asked for, and for how many of them all has ended."""

    images: int = 0
    completed: int = 0


APPLICATIONS = Listing(applications, StoredApplication, parent="company_id")
RUNS = Listing(application_runs, Run, parent="dataset_id")
IMAGE_RUNS = Listing(image_runs, ImageRun, parent="image_id")


def steps_of(stored: list[dict[str, Any]]) -> tuple[Step, ...]:
    """The steps that a row holds."""
    return tuple(
        Step(one["key"], one["operation"], one["params"], tuple(one["requires"])) for one in stored
    )


def stored_steps(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """The same, as a row holds them."""
    return [
        {
            "key": step.key,
            "operation": step.operation,
            "params": dict(step.params),
            "requires": list(step.requires),
        }
        for step in steps
    ]
