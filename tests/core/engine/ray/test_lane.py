"""A lane and its crew, told of processes by the test: no cluster is there."""

from types import SimpleNamespace
from typing import Any

from opsin.core.engine.ray.crew import Crew
from opsin.core.engine.ray.lane import RemoteLane
from opsin.core.engine.ray.order import Told
from opsin.core.engine.ray.placement import Placement
from opsin.core.engine.ray.shipments import Shipment
from opsin.core.errors import OperationFailed

ERROR = OperationFailed("it cannot be loaded")
TOLD = Told("cpu", (), 8, 0, "there:1")


class Cluster:
    """Stands for the link."""

    is_lost = is_lost_for_long = False

    def open(self, *_: Any) -> int:
        return 1

    def grow(self, crew: int, number: int) -> None: ...


def crew() -> Crew:
    link: Any = Cluster()
    order: Any = SimpleNamespace(load_seconds=100.0)
    return Crew(link, order, Placement(), "it", 10.0)


def test_what_failed_beside_the_last_process_is_not_blamed_for_its_end() -> None:
    posted: list[Any] = []
    pool: Any = None
    one = crew()
    lane = RemoteLane(pool, posted.append, one)
    queue: Any = SimpleNamespace(waiting=0, running=1, clear=list)
    lane._queue = queue
    share: Any = SimpleNamespace(queues=[queue], next=lambda: None)
    lane._share = share
    lane.joined(one, 0, TOLD)
    lane.left(one, 1, ERROR, is_lost=False)
    ticket: Any = SimpleNamespace(is_over=lambda now: False)
    lane._dispatch.begin(7, Shipment([ticket]), lane._dispatch.replicas[0])
    lane.left(one, 0, None, is_lost=True)
    lane.failed(7, None)
    lane.tick()
    assert not posted and lane._dispatch.waiting == 1


def test_one_that_loads_is_waited_for_whatever_becomes_of_others() -> None:
    one = crew()
    one.began(0)
    one.began(1)
    one.left(1, ERROR, is_lost=False)
    assert one.patience == 110.0
    one.joined(0, TOLD)
    assert one.patience == 10.0
