"""Every write of the core that a caller can cause, and things of a company to do it to."""

import io
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.applications.applications import ApplicationChanges, NewApplication
from opsin.core.classifiers.document import ClassifierDocument, TrainedOn
from opsin.core.collections.collections import MemberChoice, NewCollection
from opsin.core.collections.enrolment import ImageMembers, NewMember
from opsin.core.collections.inputs import NewInput, check_inputs
from opsin.core.contract import Step
from opsin.core.datasets import DatasetChanges
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.immediate import PictureSource
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Batch
from opsin.core.roles import Permission
from opsin.core.subjects import NewSubject, SubjectChanges
from opsin.core.uploads import ExpectedFile
from opsin.core.webhooks.webhooks import NewWebhook, WebhookChanges
from opsin.storage.ids import new_id
from opsin.storage.webhooks import webhook_deliveries
from tests.core.house import add_image, ask
from tests.core.labelled import FINGERPRINT, VECTOR
from tests.pictures import solid_png

P = Permission
URL = "https://8.8.8.8/told"
FOUND = {"annotation_type": "classification", "class_name": "orca", "data": {}}


@dataclass(frozen=True, slots=True)
class World:
    """One dataset with one of everything, by name."""

    parts: Parts
    dataset_id: str
    ids: Mapping[str, str]

    def __getattr__(self, name: str) -> str:
        return self.ids[name]


Do = Callable[[Any, Principal, World], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Deed:
    """What it takes, and the action that is noted; None where that is none, or another's."""

    permission: Permission
    action: str | None
    do: Do


async def new_world(parts: Parts, owner: Principal) -> World:
    """Made by the owner, who may do everything; the key of collections is new each time."""
    cases = parts.use_cases
    image = await add_image(parts, owner)
    dataset_id = image.dataset_id
    mark = new_id()
    new = NewImage(dataset_id, "hidden.png")
    hidden = await cases.images.add(owner, new, io.BytesIO(solid_png(30, 20)))
    await cases.image_deletions.delete(owner, dataset_id, hidden.id, "it is blurred, alas")
    subject = await cases.subjects.create(owner, dataset_id, NewSubject("Ada"))
    batch = await cases.batches.create(owner, dataset_id, subject.id)
    label = await cases.image_classes.create(owner, dataset_id, "orca")
    unused = await cases.image_classes.create(owner, dataset_id, "unused")
    given = await cases.image_classes.classify(owner, image.id, label.id)
    comment = await cases.comments.create(owner, image.id, "a fin")
    await cases.metadata.set_many(owner, dataset_id, {"place": "sea"})
    await cases.metadata.set_of_image(owner, image.id, "place", "sea")
    (queued, cancelled) = await ask(parts, owner, image, "embed_color", count=2)
    await cases.analyses.cancel(owner, cancelled.id)
    told = NewExternalAnalysis(image.id, "elsewhere", "1")
    external = await cases.analyses.tell(owner, told)
    webhook, _ = await cases.webhooks.create(
        owner, NewWebhook(URL, ["dataset.created"], dataset_id=dataset_id)
    )
    delivery = await _delivery(parts, owner, webhook.id)
    key = f"whales {mark}"
    collection = await cases.collections.create(
        owner, NewCollection(key, [NewInput("embed_color")])
    )
    await cases.enrolment.add_vectors(owner, key, [NewMember("a", [VECTOR])], [FINGERPRINT])
    steps = [Step("colour", "embed_color")]
    application = await cases.applications.create(owner, NewApplication(f"fins {mark}", steps))
    attached = await cases.applications.create(owner, NewApplication(f"flukes {mark}", steps))
    run = await cases.runs.attach(owner, attached.id, dataset_id)
    robot, _ = await cases.api_keys.create(owner, "robot of the world")
    ids = {
        "image": image.id,
        "hidden": hidden.id,
        "subject": subject.id,
        "batch": batch.id,
        "label": label.id,
        "unused": unused.id,
        "given": given.id,
        "comment": comment.id,
        "queued": queued.id,
        "cancelled": cancelled.id,
        "external": external.id,
        "webhook": webhook.id,
        "delivery": delivery,
        "collection": key,
        "collection_id": collection.id,
        "application": application.id,
        "run": run.id,
        "key": robot.id,
    }
    return World(parts, dataset_id, ids)


async def _delivery(parts: Parts, owner: Principal, webhook_id: str) -> str:
    now, identity = datetime.now(UTC), new_id()
    row = {
        "id": identity,
        "company_id": owner.company_id,
        "webhook_id": webhook_id,
        "sequence": 1,
        "kind": "dataset.created",
        "status": "FAILED",
        "attempt_count": 1,
        "tries": 1,
        "due_since": now,
        "in_place": False,
        "attempts": [],
        "created_at": now,
        "updated_at": now,
    }
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(insert(webhook_deliveries).values(row))
    return identity


def _picture(world: World) -> tuple[NewImage, io.BytesIO]:
    return NewImage(world.dataset_id, "new.png"), io.BytesIO(solid_png(20, 20))


def _document(world: World) -> ClassifierDocument:
    return ClassifierDocument(
        inputs=tuple(check_inputs(world.parts.use_cases.host, [NewInput("embed_color")])),
        fingerprints=(FINGERPRINT,),
        coefficients=(0.0,) * 4,
        intercept=0.0,
        training=TrainedOn(library="none", parameters={}),
    )


_STEPS = [Step("colour", "embed_color")]
_FILES = [ExpectedFile("mask.png", "image/png")]
_NEW = [NewMember("b", [VECTOR])]


async def _ask(c: Any, p: Principal, w: World) -> Any:
    tasks = [make_task(c.host, "1", "embed_color", {})]
    return await c.analyses.ask(p, w.image, tasks)


async def _tell(c: Any, p: Principal, w: World) -> Any:
    return await c.analyses.tell(p, NewExternalAnalysis(w.image, "elsewhere", "1"))


async def _undo_batch(c: Any, p: Principal, w: World) -> Any:
    """Only which it is, and where, is looked at."""
    made = Batch(w.batch, p.company_id, w.dataset_id, None, "", datetime.now(UTC))
    return await c.batches.undo(p, made)


async def _record(c: Any, p: Principal, w: World) -> Any:
    """What is kept of a call that was answered, whoever was let do that."""
    tasks = [make_task(c.host, "1", "embed_color", {})]
    source = PictureSource(image_id=w.image)
    return await c.immediate.analyze(p, source, tasks)


OF_DATASET: dict[str, Deed] = {
    "analyses.Analyses.ask": Deed(P.ANALYZE, "analysis.ask", _ask),
    "analyses.Analyses.cancel": Deed(
        P.ANALYZE, "analysis.cancel", lambda c, p, w: c.analyses.cancel(p, w.queued)
    ),
    "analyses.Analyses.retry": Deed(
        P.ANALYZE, "analysis.retry", lambda c, p, w: c.analyses.retry(p, w.cancelled)
    ),
    "immediate.Immediate.analyze": Deed(P.ANALYZE, None, _record),
    "external_analyses.write_told": Deed(P.REPORT, "analysis.create", _tell),
    "external_analyses.write_steps": Deed(
        P.REPORT,
        "analysis.update",
        lambda c, p, w: c.analyses.update_status(p, w.external, AnalysisStatus.PROCESSING),
    ),
    "annotations.Annotations.append": Deed(
        P.REPORT, "annotation.add", lambda c, p, w: c.annotations.add(p, w.external, [FOUND])
    ),
    "uploads.Uploads.presign": Deed(
        P.REPORT, "artifact.presign", lambda c, p, w: c.uploads.presign(p, w.external, _FILES)
    ),
    "images.Images.add": Deed(
        P.UPLOAD, "image.create", lambda c, p, w: c.images.add(p, *_picture(w))
    ),
    "subjects.Subjects.create": Deed(
        P.UPLOAD,
        "subject.create",
        lambda c, p, w: c.subjects.create(p, w.dataset_id, NewSubject("Bo")),
    ),
    "subjects.Subjects.update": Deed(
        P.UPLOAD,
        "subject.update",
        lambda c, p, w: c.subjects.update(p, None, w.subject, SubjectChanges(name="Cy")),
    ),
    "batches.Batches.create": Deed(
        P.UPLOAD, "batch.create", lambda c, p, w: c.batches.create(p, w.dataset_id, None)
    ),
    "comments.Comments.create": Deed(
        P.ANNOTATE, "comment.create", lambda c, p, w: c.comments.create(p, w.image, "a wave")
    ),
    "comments.Comments.change": Deed(
        P.ANNOTATE, "comment.update", lambda c, p, w: c.comments.change(p, w.comment, "no")
    ),
    "comments.Comments.delete": Deed(
        P.ANNOTATE, "comment.delete", lambda c, p, w: c.comments.delete(p, w.comment)
    ),
    "image_classes.ImageClasses.create": Deed(
        P.ANNOTATE,
        "image_class.create",
        lambda c, p, w: c.image_classes.create(p, w.dataset_id, "fin"),
    ),
    "image_classes.ImageClasses.change": Deed(
        P.ANNOTATE,
        "image_class.update",
        lambda c, p, w: c.image_classes.change(p, w.label, {"name": "fluke"}),
    ),
    "image_classes.ImageClasses.delete": Deed(
        P.ANNOTATE, "image_class.delete", lambda c, p, w: c.image_classes.delete(p, w.unused)
    ),
    "image_classes.ImageClasses.classify": Deed(
        P.ANNOTATE,
        "classification.create",
        lambda c, p, w: c.image_classes.classify(p, w.image, w.label),
    ),
    "image_classes.ImageClasses.declassify": Deed(
        P.ANNOTATE,
        "classification.delete",
        lambda c, p, w: c.image_classes.declassify(p, w.given),
    ),
    "metadata.Metadata.set_many_of_image": Deed(
        P.ANNOTATE, "metadata.set", lambda c, p, w: c.metadata.set_of_image(p, w.image, "a", 1)
    ),
    "metadata.Metadata.remove_many_of_image": Deed(
        P.ANNOTATE,
        "metadata.remove",
        lambda c, p, w: c.metadata.remove_of_image(p, w.image, "place"),
    ),
    "image_deletion.ImageDeletions.restore": Deed(
        P.ANNOTATE,
        "image.restore",
        lambda c, p, w: c.image_deletions.restore(p, None, w.hidden),
    ),
    "image_deletion.ImageDeletions.delete": Deed(
        P.ANNOTATE,
        "image.soft_delete",
        lambda c, p, w: c.image_deletions.delete(p, None, w.image, "it is blurred, alas"),
    ),
    "image_deletion.ImageDeletions.delete, with force": Deed(
        P.ADMIN,
        "image.force_delete",
        lambda c, p, w: c.image_deletions.delete(
            p, None, w.image, "it is blurred, alas", force=True
        ),
    ),
    "images.Images.delete": Deed(
        P.ADMIN, "image.hard_delete", lambda c, p, w: c.images.delete(p, w.image)
    ),
    "metadata.Metadata.set_many": Deed(
        P.ADMIN, "metadata.set", lambda c, p, w: c.metadata.set_many(p, w.dataset_id, {"a": 1})
    ),
    "metadata.Metadata.remove_many": Deed(
        P.ADMIN, "metadata.remove", lambda c, p, w: c.metadata.remove(p, w.dataset_id, "place")
    ),
    "datasets.Datasets.update": Deed(
        P.ADMIN,
        "dataset.update",
        lambda c, p, w: c.datasets.update(p, w.dataset_id, DatasetChanges(name="other")),
    ),
    "subjects.Subjects.clear": Deed(
        P.ADMIN,
        "subject.clear",
        lambda c, p, w: c.subjects.clear(p, w.dataset_id, [w.subject]),
    ),
    "subjects.Subjects.delete_files": Deed(
        P.ADMIN, None, lambda c, p, w: c.subjects.delete_files(p, w.dataset_id, [w.subject])
    ),
    "removal.Removal.delete_subjects": Deed(
        P.ADMIN,
        "subject.delete",
        lambda c, p, w: c.subjects.delete(p, w.dataset_id, [w.subject]),
    ),
    "removal.Removal.delete_batch": Deed(
        P.ADMIN, "batch.delete", lambda c, p, w: c.batches.delete(p, w.batch)
    ),
    "removal.Removal.undo_batch": Deed(P.UPLOAD, "batch.delete", _undo_batch),
    "removal.Removal.delete_dataset": Deed(
        P.ADMIN, "dataset.delete", lambda c, p, w: c.datasets.delete(p, w.dataset_id)
    ),
    "applications.runs.Runs.attach": Deed(
        P.ADMIN,
        "run.attach",
        lambda c, p, w: c.runs.attach(p, w.application, w.dataset_id),
    ),
    "applications.runs.Runs.detach": Deed(
        P.ADMIN, "run.detach", lambda c, p, w: c.runs.detach(p, w.run)
    ),
    "webhooks.webhooks.Webhooks.create": Deed(
        P.ADMIN,
        "webhook.create",
        lambda c, p, w: c.webhooks.create(
            p, NewWebhook(URL, ["image.created"], dataset_id=w.dataset_id)
        ),
    ),
    "webhooks.webhooks.Webhooks.change": Deed(
        P.ADMIN,
        "webhook.update",
        lambda c, p, w: c.webhooks.change(p, w.webhook, WebhookChanges(active=False)),
    ),
    "webhooks.webhooks.Webhooks.rotate": Deed(
        P.ADMIN,
        "webhook.rotate",
        lambda c, p, w: c.webhooks.rotate(p, w.webhook, timedelta(0)),
    ),
    "webhooks.webhooks.Webhooks.redeliver": Deed(
        P.ADMIN, "webhook.redeliver", lambda c, p, w: c.webhooks.redeliver(p, w.delivery)
    ),
    "webhooks.webhooks.Webhooks.delete": Deed(
        P.ADMIN, "webhook.delete", lambda c, p, w: c.webhooks.delete(p, w.webhook)
    ),
}
"""What a permission in the dataset is enough for, by the writer that asks."""

OF_COMPANY: dict[str, Deed] = {
    "api_keys.ApiKeys.create": Deed(
        P.ADMIN, "key.create", lambda c, p, w: c.api_keys.create(p, "robot")
    ),
    "api_keys.ApiKeys.revoke": Deed(
        P.ADMIN, "key.revoke", lambda c, p, w: c.api_keys.revoke(p, w.key)
    ),
    "datasets.Datasets.create": Deed(
        P.ADMIN, "dataset.create", lambda c, p, w: c.datasets.create(p, "another")
    ),
    "applications.applications.Applications.create": Deed(
        P.ADMIN,
        "application.create",
        lambda c, p, w: c.applications.create(p, NewApplication(f"another {new_id()}", _STEPS)),
    ),
    "applications.applications.Applications.update": Deed(
        P.ADMIN,
        "application.update",
        lambda c, p, w: c.applications.update(p, w.application, ApplicationChanges(title="Fins")),
    ),
    "applications.applications.Applications.delete": Deed(
        P.ADMIN,
        "application.delete",
        lambda c, p, w: c.applications.delete(p, w.application),
    ),
    "collections.collections.Collections.create": Deed(
        P.ADMIN,
        "collection.create",
        lambda c, p, w: c.collections.create(p, NewCollection(new_id(), [NewInput("embed_color")])),
    ),
    "collections.enrolment.Enrolment.add_vectors": Deed(
        P.ADMIN,
        "collection.add_members",
        lambda c, p, w: c.enrolment.add_vectors(p, w.collection, _NEW, [FINGERPRINT]),
    ),
    "collections.enrolment.Enrolment.replace": Deed(
        P.ADMIN,
        "collection.replace_members",
        lambda c, p, w: c.enrolment.replace(p, w.collection, _NEW, [FINGERPRINT]),
    ),
    "collections.enrolment.Enrolment.add_images": Deed(
        P.ADMIN,
        "collection.add_members",
        lambda c, p, w: c.enrolment.add_images(p, w.collection, ImageMembers([w.image], "c")),
    ),
    "collections.collections.Collections.remove": Deed(
        P.ADMIN,
        "collection.remove_members",
        lambda c, p, w: c.collections.remove(p, w.collection, MemberChoice(labels=["a"])),
    ),
    "collections.collections.Collections.delete": Deed(
        P.ADMIN, "collection.delete", lambda c, p, w: c.collections.delete(p, w.collection)
    ),
    "classifiers.classifiers.Classifiers.keep": Deed(
        P.ADMIN,
        "classifier.keep",
        lambda c, p, w: c.classifiers.keep(p, w.collection, _document(w)),
    ),
}
"""What it takes a permission in the whole company for."""
