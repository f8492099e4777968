"""Where one task looks: its part of the picture, what is to be told of that, and since when."""

from dataclasses import dataclass

from opsin.core.contract import Box, MissingRegion, Picture, Region, Target
from opsin.core.engine.batching import Completed
from opsin.core.engine.provenance import Timings
from opsin.core.engine.task import Task
from opsin.core.errors import OpsinError, RegionNotFound
from opsin.core.imaging import crop
from opsin.core.regions import Finding

WHOLE = Finding()
"""What is found for a task that looks for no region."""
_NOUNS = {Target.PROMINENT_PERSON: "person", Target.PROMINENT_FACE: "face"}


@dataclass(slots=True)
class Placed:
    """What a task gets of the picture, and what its result tells of that."""

    part: Picture
    region: Region | None
    box: Box | None
    """The result's region."""
    note: str | None
    searched: tuple[Target, ...]
    """The targets whose finders were run."""
    error: OpsinError | None
    """Why the task cannot be run after all."""
    search_seconds: float
    found_at: float
    """Monotonic seconds, as is `queued_at`."""
    queued_at: float | None = None

    def timings(self, decode_seconds: float, completed: Completed | None) -> Timings:
        """How long each step took, as far as the task has come."""
        inputs = queued = run = 0.0
        if self.queued_at is not None:
            inputs = self.queued_at - self.found_at
            if completed is not None:
                queued, run = completed.started - self.queued_at, completed.seconds
        return Timings(
            decode=decode_seconds * 1000,
            region=self.search_seconds * 1000,
            inputs=inputs * 1000,
            queued=queued * 1000,
            run=run * 1000,
        )


def place(task: Task, finding: Finding, picture: Picture, begun: float, now: float) -> Placed:
    """What the task gets, once its region is known; the search for it has `begun` then."""
    region, note, error = finding.region, finding.note, finding.error
    crops = region is not None and task.operation.crop
    if region is None and error is None and finding is not WHOLE:
        missing = task.operation.missing_region[task.target]
        noun = _NOUNS[task.target]
        if missing is MissingRegion.SKIP:
            error = RegionNotFound(noun, task.task_id)
        elif missing is MissingRegion.USE_WHOLE_IMAGE:
            note = joined(note, f"no prominent {noun} was found, the whole image was used")
    part = crop(picture, region.box) if region is not None and crops else picture
    if not task.operation.uses_picture:
        part = blank(*picture.shape[:2])  # the same, whether or not anybody had it decoded
    return Placed(
        part=part,
        region=region,
        box=region.box if region is not None and crops else None,
        note=note,
        searched=finding.searched,
        error=error,
        search_seconds=0.0 if finding is WHOLE else now - begun,
        found_at=now,
    )


def blank(height: int, width: int) -> Picture:
    """A picture of that size that shows nothing and takes no memory; read-only."""
    import numpy as np  # late: the command line starts without it

    return np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))


def joined(*notes: str | None) -> str | None:
    """The notes as one."""
    return "; ".join(note for note in notes if note) or None
