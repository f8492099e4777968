"""What an import did, and what it could not do."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from opsin.core.imports.found import Findings, Place, Refusal


@dataclass(slots=True)
class ImportReport:
    """Counts of what is stored now, was there already, and is missing or refused."""

    source: str
    format: str
    sha256: str
    dataset: str
    dataset_id: str | None = None
    """None for a dataset that a dry run would have made."""
    dry_run: bool = False
    images_new: int = 0
    images_known: int = 0
    images_missing: int = 0
    analyses_new: int = 0
    analyses_known: int = 0
    annotations_new: int = 0
    annotations_known: int = 0
    annotation_types: Counter[str] = field(default_factory=Counter)
    """Of the new ones."""
    missing: list[Refusal] = field(default_factory=list)
    """Of the images that are missing the first thousand, and why."""
    findings: Findings = field(default_factory=Findings)

    def miss(self, place: Place, reason: str) -> None:
        self.images_missing += 1
        if len(self.missing) < self.findings.refusals.MOST:
            self.missing.append(Refusal(place, reason))

    @property
    def is_complete(self) -> bool:
        """Whether everything of the source could be taken."""
        return not self.images_missing and not self.findings.refusals.count

    def to_json(self) -> dict[str, Any]:
        """For programs; of what is missing or refused the first thousand each."""
        return {
            "source": self.source,
            "format": self.format,
            "sha256": self.sha256,
            "dataset": {"id": self.dataset_id, "name": self.dataset},
            "dry_run": self.dry_run,
            "images": {
                "new": self.images_new,
                "known": self.images_known,
                "missing": self.images_missing,
            },
            "analyses": {"new": self.analyses_new, "known": self.analyses_known},
            "annotations": {
                "new": self.annotations_new,
                "known": self.annotations_known,
                "refused": self.findings.refusals.count,
                "types": dict(sorted(self.annotation_types.items())),
            },
            "notes": dict(sorted(self.findings.notes.items())),
            "missing": [_told(one) for one in self.missing],
            "refused": [_told(one) for one in self.findings.refusals.first],
        }


def _told(refusal: Refusal) -> dict[str, Any]:
    place = refusal.place
    return {"file": place.file, "line": place.line, "reason": refusal.reason}
