"""Where the metrics of a process come from, gathered from its parts."""

from opsin.assembly.parts import Parts
from opsin.core.request_counts import RequestCounts
from opsin.web.collectors import Figures, ReadCounts


def figures_of(
    parts: Parts, requests: RequestCounts | None = None, reads: ReadCounts | None = None
) -> Figures:
    """Of a server, or, without requests and reads, of a worker."""
    use_cases = parts.use_cases
    return Figures(
        engine=use_cases.engine,
        answers=use_cases.answers,
        events=use_cases.events,
        database=use_cases.database,
        blobs=parts.blobs.counts,
        worker=parts.worker,
        sender=parts.sender,
        recorder=use_cases.recorder,
        requests=requests or RequestCounts(),
        reads=reads,
        lag=parts.lag,
    )
