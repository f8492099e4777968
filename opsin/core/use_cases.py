"""Everything a door may call, in one value."""

from dataclasses import dataclass

from opsin.core.access import Access
from opsin.core.accounts import Accounts
from opsin.core.analyses import Analyses
from opsin.core.annotations import Annotations
from opsin.core.answers.answers import Answers
from opsin.core.api_keys import ApiKeys
from opsin.core.applications.applications import Applications
from opsin.core.applications.operation_numbers import OperationNumbers
from opsin.core.applications.runs import Runs
from opsin.core.artifacts import Artifacts
from opsin.core.audit_log import AuditLog
from opsin.core.availability import Availability
from opsin.core.batches import Batches
from opsin.core.classifiers.classifiers import Classifiers
from opsin.core.collections.collections import Collections
from opsin.core.collections.enrolment import Enrolment
from opsin.core.collections.references import References
from opsin.core.comments import Comments
from opsin.core.companies import Companies
from opsin.core.datasets import Datasets
from opsin.core.engine import Engine
from opsin.core.events import Events
from opsin.core.exports.exports import Exports
from opsin.core.external_reads import ExternalReads
from opsin.core.history import History
from opsin.core.image_classes import ImageClasses
from opsin.core.image_deletion import ImageDeletions
from opsin.core.image_pages import ImagePages
from opsin.core.image_search import ImageSearches
from opsin.core.images import Images
from opsin.core.immediate import Immediate
from opsin.core.imports.imports import Imports
from opsin.core.links import Links
from opsin.core.memberships import Memberships
from opsin.core.metadata import Metadata
from opsin.core.owners import Owners
from opsin.core.places import Places
from opsin.core.plugin_host import PluginHost
from opsin.core.predictions import Predictions
from opsin.core.private_tokens import PrivateTokens
from opsin.core.rate_limits import RateLimits
from opsin.core.recording import Recorder
from opsin.core.reports import Reports
from opsin.core.retention import Retention
from opsin.core.role_grants import RoleGrants
from opsin.core.run_results import RunResults
from opsin.core.seals import Seals
from opsin.core.sent_files import SentFiles
from opsin.core.sessions import Sessions
from opsin.core.signed_answers import SignedAnswers
from opsin.core.similarity.near_duplicates import NearDuplicates
from opsin.core.similarity.similar_images import SimilarImages
from opsin.core.subjects import Subjects
from opsin.core.uploads import Uploads
from opsin.core.webhooks.webhooks import Webhooks
from opsin.storage.database import Database


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases by noun, and the parts that reads go to directly."""

    access: Access
    accounts: Accounts
    analyses: Analyses
    annotations: Annotations
    answers: Answers
    api_keys: ApiKeys
    applications: Applications
    artifacts: Artifacts
    audit_log: AuditLog
    availability: Availability
    batches: Batches
    classifiers: Classifiers
    collections: Collections
    comments: Comments
    companies: Companies
    database: Database
    datasets: Datasets
    engine: Engine
    enrolment: Enrolment
    events: Events
    exports: Exports
    external_reads: ExternalReads
    history: History
    host: PluginHost
    image_classes: ImageClasses
    image_deletions: ImageDeletions
    image_pages: ImagePages
    image_searches: ImageSearches
    images: Images
    immediate: Immediate
    imports: Imports
    links: Links
    memberships: Memberships
    metadata: Metadata
    near_duplicates: NearDuplicates
    operation_numbers: OperationNumbers
    owners: Owners
    places: Places
    predictions: Predictions
    private_tokens: PrivateTokens
    rate_limits: RateLimits
    recorder: Recorder | None
    references: References
    reports: Reports
    retention: Retention
    role_grants: RoleGrants
    run_results: RunResults
    seals: Seals
    runs: Runs
    sent_files: SentFiles
    sessions: Sessions
    signed_answers: SignedAnswers
    similar_images: SimilarImages
    subjects: Subjects
    uploads: Uploads
    webhooks: Webhooks
