"""The engine: plans the tasks of a picture, batches them with everybody else's, and runs them."""

from opsin.core.engine.engine import Engine
from opsin.core.engine.provenance import ModelUsed, Provenance, Timings
from opsin.core.engine.statistics import MemoryStatistics, RunnerStatistics
from opsin.core.engine.task import Analyzed, Outcome, Task, TaskStatus, make_task
from opsin.core.engine.warming import check_names

__all__ = [
    "Analyzed",
    "Engine",
    "MemoryStatistics",
    "ModelUsed",
    "Outcome",
    "Provenance",
    "RunnerStatistics",
    "Task",
    "TaskStatus",
    "Timings",
    "check_names",
    "make_task",
]
