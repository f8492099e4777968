"""A model of a deployment: what decoders, askers, network, and devices let through, simulated.

    python -m bench.scaling_model

Pictures are decoded by the cores of the processes that ask, a batch at a time goes over one link
into the cluster, and to the process with the least in hand, of which each has two: one runs, one
travels.  Every stage takes what was measured (`Costs`); another request comes as soon as one has
left, so that what comes out is the most that such a deployment can do.
`bench.ray_engine scaling` compares the model with a run.
"""

import heapq
import json
from dataclasses import dataclass, replace
from itertools import count

AT_ONCE = 2  # batches at one process, as in opsin.core.engine.ray.shipments
_BATCHES = 400


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one core or device; `send_seconds` is an item's, all of an asker's work on it."""

    decode_seconds: float
    send_seconds: float
    batch_seconds: float
    batch: int
    picture_bytes: int = 640 * 480 * 3
    network_bytes: float = float("inf")
    """A second, of one asker's link."""
    database_per_second: float = float("inf")
    """Durable analyses that the database takes; infinite for stateless requests."""


def simulate(costs: Costs, *, askers: int, decode_cores: int, actors: int, waiting: int) -> float:
    """Items a second; each asker has `decode_cores` and `waiting` requests at any time."""
    return (
        sum(_of_one_asker(costs, decode_cores, share, waiting) for share in _shares(actors, askers))
        if askers <= actors
        else _of_one_asker(
            replace(costs, batch_seconds=costs.batch_seconds * askers / actors),
            decode_cores,
            1,
            waiting,
        )
        * askers
    )


def limits(costs: Costs, *, askers: int, decode_cores: int, actors: int) -> dict[str, float]:
    """What each stage alone would let through, in items a second."""
    return {
        "decoding": _rate(askers * decode_cores, costs.decode_seconds),
        "sending": _rate(askers, costs.send_seconds),
        "network": askers * costs.network_bytes / costs.picture_bytes,
        "devices": _rate(actors * costs.batch, costs.batch_seconds),
        "database": costs.database_per_second,
    }


def _of_one_asker(costs: Costs, decode_cores: int, actors: int, waiting: int) -> float:
    """A discrete simulation: what is free next takes what is ready first."""
    order = count()
    events: list[tuple[float, int, str, int]] = []
    undecoded, decoded = waiting, 0
    free_cores, in_hand, running = decode_cores, [0] * actors, [0] * actors
    sending = False
    sizes: list[list[int]] = [[] for _ in range(actors)]
    done, now = 0, 0.0
    link = max(costs.send_seconds, costs.picture_bytes / costs.network_bytes)

    def at(seconds: float, what: str, where: int = 0) -> None:
        heapq.heappush(events, (now + seconds, next(order), what, where))

    while done < _BATCHES * costs.batch:
        while free_cores and undecoded:
            free_cores, undecoded = free_cores - 1, undecoded - 1
            at(costs.decode_seconds, "decoded")
        target = min(range(actors), key=lambda one: in_hand[one])
        if not sending and decoded and in_hand[target] < AT_ONCE:
            size = min(decoded, costs.batch)
            decoded, sending = decoded - size, True
            in_hand[target] += 1
            sizes[target].append(size)
            at(size * link, "sent", target)
        now, _, what, where = heapq.heappop(events)
        if what == "decoded":
            free_cores, decoded = free_cores + 1, decoded + 1
            continue
        if what == "sent":
            sending = False
            running[where] += 1
            if running[where] == 1:
                at(costs.batch_seconds, "ran", where)
            continue
        size = sizes[where].pop(0)
        running[where] -= 1
        in_hand[where] -= 1
        if running[where]:
            at(costs.batch_seconds, "ran", where)
        done += size
        undecoded += size
    return done / now


def _shares(actors: int, askers: int) -> list[int]:
    return [actors // askers + (one < actors % askers) for one in range(askers)]


def _rate(servers: float, seconds: float) -> float:
    return servers / seconds if seconds else float("inf")


# Assumed costs of one item, to be replaced by those of one's own machines: a 2-megapixel JPEG
# decoded by one core, a CLIP-sized network at batch 32 on a data-centre GPU; see docs/scaling.md.
GPU = Costs(
    decode_seconds=0.020,
    send_seconds=0.004,
    batch_seconds=0.032,
    batch=32,
    picture_bytes=1920 * 1080 * 3,
    network_bytes=25e9 / 8,
)
DEPLOYMENTS = {
    "1 node": {"askers": 1, "decode_cores": 12, "actors": 1},
    "3 nodes": {"askers": 3, "decode_cores": 12, "actors": 3},
    "50 nodes": {"askers": 40, "decode_cores": 14, "actors": 10},
}


def main() -> None:
    for name, sizes in DEPLOYMENTS.items():
        rate = simulate(GPU, waiting=512, **sizes)
        stages = limits(GPU, **sizes)
        narrow = min(stages, key=stages.__getitem__)
        print(
            json.dumps(
                {
                    "deployment": name,
                    **sizes,
                    "items_per_second": round(rate),
                    "limited_by": narrow,
                    "stages": {
                        stage: round(value) for stage, value in stages.items() if value < 1e12
                    },
                }
            )
        )


if __name__ == "__main__":
    main()
