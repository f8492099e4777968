"""The engine: plans the tasks of a picture, batches them with everybody else's, and runs them."""

from opsin.core.engine.engine import Engine
from opsin.core.engine.provenance import ModelUsed, Provenance, Timings
from opsin.core.engine.statistics import RunnerStatistics
from opsin.core.engine.task import Analyzed, Outcome, Task, TaskStatus, make_task

__all__ = [
    "Analyzed",
    "Engine",
    "ModelUsed",
    "Outcome",
    "Provenance",
    "RunnerStatistics",
    "Task",
    "TaskStatus",
    "Timings",
    "make_task",
]
