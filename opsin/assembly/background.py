"""What works beside the doors: the worker and the sender of webhooks."""

from datetime import timedelta

from opsin.core.answers.reservations import Reservations
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.worker import Worker
from opsin.core.use_cases import UseCases
from opsin.core.webhooks.keepers import Keepers
from opsin.core.webhooks.posting import Poster
from opsin.core.webhooks.schedule import Schedule
from opsin.core.webhooks.sender import Sender
from opsin.core.webhooks.signing import Secrets
from opsin.settings import Settings


def worker(settings: Settings, use_cases: UseCases, reservations: Reservations) -> Worker:
    lease = timedelta(seconds=settings.lease_seconds)
    queue = AnalysisQueue(
        use_cases.database, use_cases.artifacts, lease=lease, max_attempts=settings.max_attempts
    )
    return Worker(
        queue,
        use_cases.images,
        use_cases.answers,
        use_cases.host,
        use_cases.database.committed,
        reservations,
        batch=settings.worker_batch,
        lease=lease,
        poll_seconds=settings.poll_seconds,
        stuck_seconds=settings.stuck_seconds,
        references=use_cases.references,
        listening=use_cases.database.listening,
    )


def sender(settings: Settings, use_cases: UseCases, secrets: Secrets, poster: Poster) -> Sender:
    schedule = Schedule(
        first=timedelta(seconds=settings.webhook_retry_seconds),
        longest=timedelta(seconds=settings.webhook_retry_longest_seconds),
        max_attempts=settings.webhook_max_attempts,
        max_age=timedelta(days=settings.webhook_max_days),
        pause_after=timedelta(hours=settings.webhook_pause_hours),
    )
    return Sender(
        use_cases.database,
        use_cases.events,
        use_cases.webhooks.formats,
        secrets,
        Keepers(use_cases.database, use_cases.access.reach),
        poster,
        schedule,
        concurrency=settings.webhook_concurrency,
        keep=timedelta(days=settings.webhook_keep_days),
        kept=settings.webhook_keep_delivered,
    )
