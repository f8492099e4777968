"""Builds every part from the settings; a server, a worker and the command line all start here."""

from collections.abc import Sequence
from datetime import timedelta

from opsin import __version__
from opsin.assembly.background import sender, worker
from opsin.assembly.engine import build_engine, image_limits, open_models
from opsin.assembly.parts import Parts
from opsin.assembly.plugins import discover_plugins
from opsin.assembly.stores import open_blobs
from opsin.core.access import Access
from opsin.core.accounts import Accounts
from opsin.core.analyses import Analyses
from opsin.core.annotations import Annotations
from opsin.core.answers.answers import Answers
from opsin.core.answers.earlier_results import EarlierResults
from opsin.core.answers.keys import ResultKeys
from opsin.core.answers.reservations import Reservations
from opsin.core.api_keys import ApiKeys
from opsin.core.applications.applications import Applications
from opsin.core.applications.backfill import Backfill
from opsin.core.applications.declared import DeclaredApplications
from opsin.core.applications.operation_numbers import OperationNumbers
from opsin.core.applications.runs import Runs
from opsin.core.applications.scheduling import Scheduling
from opsin.core.artifacts import Artifacts
from opsin.core.audit_log import AuditLog
from opsin.core.availability import Availability
from opsin.core.batches import Batches
from opsin.core.blob_sweep import BlobSweep
from opsin.core.classifiers.classifiers import Classifiers
from opsin.core.collections.collections import Collections
from opsin.core.collections.enrolment import Enrolment
from opsin.core.collections.references import References
from opsin.core.comments import Comments
from opsin.core.companies import Companies
from opsin.core.datasets import Datasets
from opsin.core.events import Events
from opsin.core.exports.exports import Exports
from opsin.core.external_reads import ExternalReads
from opsin.core.fetch import Fetcher
from opsin.core.history import History
from opsin.core.image_classes import ImageClasses
from opsin.core.image_deletion import ImageDeletions
from opsin.core.image_pages import ImagePages
from opsin.core.image_search import ImageSearches
from opsin.core.images import Images
from opsin.core.immediate import Immediate
from opsin.core.imports.imports import Imports
from opsin.core.links import Links, load_or_create_secret
from opsin.core.memberships import Memberships
from opsin.core.metadata import Metadata
from opsin.core.models.identities import ModelIdentities
from opsin.core.owners import Owners
from opsin.core.passwords import Passwords
from opsin.core.places import Places
from opsin.core.plugin_host import PluginSource
from opsin.core.predictions import Predictions
from opsin.core.private_tokens import PrivateTokens
from opsin.core.rate_limits import RateLimits
from opsin.core.readiness import Readiness
from opsin.core.recorded_calls import RecordedCalls
from opsin.core.recording import Recorder
from opsin.core.reports import Reports
from opsin.core.retention import Retention
from opsin.core.role_grants import RoleGrants
from opsin.core.run_results import RunResults
from opsin.core.seals import Seals
from opsin.core.sent_files import SentFiles
from opsin.core.sessions import Sessions
from opsin.core.signed_answers import SignedAnswers
from opsin.core.similarity.image_vectors import ImageVectors
from opsin.core.similarity.near_duplicates import NearDuplicates
from opsin.core.similarity.search import VectorSearch
from opsin.core.similarity.similar_images import SimilarImages
from opsin.core.subjects import Subjects
from opsin.core.uploads import Uploads
from opsin.core.use_cases import UseCases
from opsin.core.watched_blobs import WatchedBlobs
from opsin.core.webhooks.formats import Formats
from opsin.core.webhooks.posting import Poster
from opsin.core.webhooks.signing import Secrets
from opsin.core.webhooks.webhooks import Webhooks
from opsin.settings import Settings
from opsin.storage.database import Database


def assemble(settings: Settings, more_plugins: Sequence[PluginSource] = ()) -> Parts:
    """Every part; nothing is opened or started yet."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    host = discover_plugins(settings, more_plugins)
    models = open_models(settings, host)
    database = Database(
        settings.resolved_database_url,
        pool_size=settings.database_pool,
        name=f"opsin {__version__}",
    )
    blobs = WatchedBlobs(open_blobs(settings))
    engine = build_engine(settings, host, models)
    fetcher = Fetcher(
        max_bytes=settings.max_upload_bytes,
        timeout=settings.fetch_seconds,
        allow=settings.fetch_allow,
    )
    declared = DeclaredApplications(host)
    scheduling = Scheduling(host, declared)
    images = Images(
        database, blobs, engine, fetcher, image_limits(settings), arrived=scheduling.arrived
    )
    availability = Availability(host, models)
    applications = Applications(database, host, declared, availability)
    runs = Runs(database, applications)
    references = References(database, host)
    answers = Answers(
        engine,
        ResultKeys(host, ModelIdentities(models)),
        EarlierResults(database),
        image_limits(settings),
        memory_bytes=settings.result_cache_bytes,
    )
    access = Access(database, mode=settings.auth)
    passwords = Passwords()
    people = Accounts(database, access, passwords)
    rate_limits = RateLimits(database)
    secret = _secret(settings)
    links = Links(secret)
    poster = Poster(
        timeout=settings.webhook_seconds,
        allow=settings.webhook_allow,
        plain_http=settings.webhook_plain_http,
    )
    webhook_secrets = Secrets(secret)
    sweep = BlobSweep(database, blobs)
    artifacts = Artifacts(database, blobs)
    history = History(database)
    recorder = None
    if settings.record_stateless:
        writer = RecordedCalls(database, blobs, artifacts)
        recorder = Recorder(writer, max_bytes=settings.record_queue_bytes)
    use_cases = UseCases(
        access=access,
        accounts=people,
        analyses=Analyses(database, max_tasks=settings.max_tasks),
        annotations=Annotations(database, max_annotations=settings.max_annotations),
        answers=answers,
        api_keys=ApiKeys(database, access),
        applications=applications,
        artifacts=artifacts,
        audit_log=AuditLog(database, days=settings.audit_days),
        availability=availability,
        batches=Batches(database, sweep),
        classifiers=Classifiers(database),
        collections=Collections(database, host),
        comments=Comments(database),
        companies=Companies(database, access),
        database=database,
        datasets=Datasets(database, sweep),
        engine=engine,
        enrolment=Enrolment(database, ImageVectors(database, host, answers, images, models)),
        events=Events(database, poll_seconds=settings.poll_seconds),
        exports=Exports(database),
        external_reads=ExternalReads(database),
        history=history,
        host=host,
        image_classes=ImageClasses(database),
        image_deletions=ImageDeletions(
            database,
            sweep,
            retention=timedelta(days=settings.vista_delete_retention_days),
            least_reason=settings.vista_delete_reason_min_chars,
            arrived=scheduling.arrived,
        ),
        image_pages=ImagePages(database),
        image_searches=ImageSearches(database),
        images=images,
        immediate=Immediate(
            answers,
            images,
            fetcher,
            max_bytes=settings.max_upload_bytes,
            max_tasks=settings.max_tasks,
            references=references,
            recorder=recorder,
        ),
        imports=Imports(database, blobs, image_limits(settings), arrived=scheduling.arrived),
        links=links,
        memberships=Memberships(database, access, people),
        metadata=Metadata(database),
        near_duplicates=NearDuplicates(database, host),
        operation_numbers=OperationNumbers(database),
        owners=Owners(database),
        places=Places(database),
        predictions=Predictions(database),
        private_tokens=PrivateTokens(database, access),
        rate_limits=rate_limits,
        recorder=recorder,
        references=references,
        reports=Reports(database, host, images, history, image_limits(settings)),
        retention=Retention(database, sweep),
        role_grants=RoleGrants(database, access),
        run_results=RunResults(database),
        seals=Seals(secret),
        runs=runs,
        sent_files=SentFiles(database, blobs),
        sessions=Sessions(
            database,
            access,
            passwords,
            rate_limits,
            attempts=settings.login_attempts,
            lasts=timedelta(seconds=settings.session_seconds),
            renewable=timedelta(days=settings.session_days),
        ),
        signed_answers=SignedAnswers(database),
        similar_images=SimilarImages(
            database,
            host,
            engine,
            VectorSearch(database, cache_bytes=settings.vector_cache_bytes),
        ),
        subjects=Subjects(database, sweep),
        uploads=Uploads(
            database,
            blobs,
            links,
            max_bytes=settings.vista_max_artifact_bytes,
            expiry=timedelta(seconds=settings.vista_presigned_url_expiry_seconds),
        ),
        webhooks=Webhooks(database, webhook_secrets, Formats(), poster),
    )
    reservations = Reservations(database.key_locks())
    return Parts(
        use_cases,
        models,
        worker(settings, use_cases, reservations),
        Backfill(database, scheduling, runs.attached),
        sender(settings, use_cases, webhook_secrets, poster),
        sweep,
        Readiness(database, blobs, lambda: engine.is_warm),
        blobs,
        settings.resolved_database_url,
        closers=(
            use_cases.events.close,
            use_cases.reports.close,
            passwords.close,
            engine.close,
            reservations.close,
            poster.close,
            blobs.close,
            database.close,
        ),
    )


def _secret(settings: Settings) -> bytes:
    if settings.secret_key:
        return settings.secret_key.encode()
    return load_or_create_secret(settings.data_dir / "secret.key")
