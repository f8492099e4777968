"""Every root field of the schema, asked by its owner's ids, for the matrix of callers."""

import base64
from typing import NamedTuple

from tests.pictures import solid_png

NOT_FOUND = "NOT_FOUND"
FINGERPRINT = "c" * 64
RECEIVER = "http://127.0.0.1:9/"
"""Nobody listens there, and it is allowed to be sent to."""


class Row(NamedTuple):
    """A root field: how it is asked for, and what the owner's answer shows but nobody else's.

    `foreign` is the code that another company gets for naming the owner's things; a field that
    names none answers everybody, each with their own.
    """

    document: str
    shows: str | None = None
    foreign: str | None = None
    owned: str | None = None
    """The code that even the owner gets, on a machine without weights."""


PICTURE = base64.b64encode(solid_png()).decode()
QUERIES = {
    "operations": Row("{ operations { name } }"),
    "plugins": Row("{ plugins { name } }"),
    "eventCursor": Row("{ eventCursor }"),
    "viewer": Row("{ viewer { name company apiKeys { id } } }", "ApiKey"),
    "members": Row("{ members { email } }"),
    "applications": Row("{ applications { id own } }", "Application"),
    "application": Row('{ application(id: "%(Application)s") { id } }', "Application"),
    "imageTypes": Row("{ imageTypes { name } }"),
    "subject": Row(
        '{ subject(id: "%(Subject)s") { id history { name } smoothed { name } } }', "Subject"
    ),
    "batch": Row('{ batch(id: "%(Batch)s") { id images { nodes { id } } } }', "Image"),
    "run": Row('{ run(id: "%(Run)s") { id application { id } } }', "Run"),
    "runs": Row("{ runs { nodes { application { id } } } }", "Application"),
    "node": Row('{ node(id: "%(Image)s") { id } }', "Image"),
    "dataset": Row('{ dataset(id: "%(Dataset)s") { id } }', "Dataset"),
    "datasets": Row("{ datasets { nodes { id } } }", "Dataset"),
    "image": Row('{ image(id: "%(Image)s") { id url } }', "Image"),
    "images": Row("{ images { nodes { id analyses { nodes { id } } } } }", "Image"),
    "analysis": Row('{ analysis(id: "%(Analysis)s") { id } }', "Analysis"),
    "analyses": Row(
        '{ analyses(filter: {imageId: "%(Image)s"}) { totalCount nodes { id } } }', "Analysis"
    ),
    "similarImages": Row(
        """{ similarImages(imageId: "%(Image)s", operation: "embed_dino_v2") {
          image { id } analysis { id } } }""",
        "Twin",
        NOT_FOUND,
    ),
    "imagesLike": Row(
        '{ imagesLike(text: "a twin", operation: "embed_clip_vit_b_32") { image { id } } }',
        None,
        "OPERATION_UNAVAILABLE",
        "OPERATION_UNAVAILABLE",
    ),
    "nearDuplicates": Row(
        '{ nearDuplicates(imageId: "%(Image)s") { distance image { id } analysis { id } } }',
        "Twin",
        NOT_FOUND,
    ),
    "collection": Row(
        """{ collection(key: "whales") { id labels { label } members { nodes { id } }
          classifiers { nodes { id } } } }""",
        "Collection",
    ),
    "collections": Row("{ collections { nodes { id } } }", "Collection"),
    "webhook": Row('{ webhook(id: "%(Webhook)s") { id deliveries { nodes { id } } } }', "Delivery"),
    "webhooks": Row("{ webhooks { nodes { id dataset { id } } } }", "Webhook"),
    "auditLog": Row(
        '{ auditLog(filter: {subject: "%(Image)s"}) { totalCount nodes { subjectId } } }', "Image"
    ),
}
MUTATIONS = {
    "logout": Row("mutation { logout { id } }", None, "INVALID_INPUT", "INVALID_INPUT"),
    "createPrivateToken": Row(
        'mutation { createPrivateToken(name: "x") { token } }', None, "FORBIDDEN", "FORBIDDEN"
    ),
    "deletePrivateToken": Row(
        "mutation { deletePrivateToken(number: 1) { deletedNumber } }",
        None,
        "FORBIDDEN",
        "FORBIDDEN",
    ),
    "createDataset": Row('mutation { createDataset(input: {name: "x"}) { name } }'),
    "updateDataset": Row(
        'mutation { updateDataset(input: {id: "%(Dataset)s", branding: 7}) { id } }',
        "Dataset",
        NOT_FOUND,
    ),
    "createSubject": Row(
        """mutation { createSubject(input: {datasetId: "%(Dataset)s", name: "x"}) {
          dataset { id } } }""",
        "Dataset",
        NOT_FOUND,
    ),
    "updateSubject": Row(
        'mutation { updateSubject(input: {id: "%(Subject)s", sex: "female"}) { id } }',
        "Subject",
        NOT_FOUND,
    ),
    "createBatch": Row(
        """mutation { createBatch(input: {datasetId: "%(Dataset)s", subjectId: "%(Subject)s"}) {
          subject { id } } }""",
        "Subject",
        NOT_FOUND,
    ),
    "createApplication": Row(
        """mutation { createApplication(input: {name: "of.%(Image)s",
          steps: [{operation: "image_quality"}]}) { description } }"""
    ),
    "updateApplication": Row(
        'mutation { updateApplication(input: {id: "%(Application)s", title: "x"}) { id } }',
        "Application",
        NOT_FOUND,
    ),
    "attachApplication": Row(
        """mutation { attachApplication(input: {applicationId: "%(Application)s",
          datasetId: "%(Attached)s"}) { id } }""",
        "Run",
        NOT_FOUND,
    ),
    "detachApplication": Row(
        'mutation { detachApplication(runId: "%(Run)s") { id isEnabled } }', "Run", NOT_FOUND
    ),
    "deleteApplication": Row(
        'mutation { deleteApplication(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "clearSubjects": Row(
        """mutation { clearSubjects(input: {datasetId: "%(Dataset)s", ids: ["%(Made)s"]}) {
          id name } }""",
        "Made",
        NOT_FOUND,
    ),
    "deleteSubjectFiles": Row(
        """mutation { deleteSubjectFiles(input: {datasetId: "%(Dataset)s", ids: ["%(Made)s"]}) {
          deletedCount } }""",
        None,
        NOT_FOUND,
    ),
    "deleteSubjects": Row(
        """mutation { deleteSubjects(input: {datasetId: "%(Dataset)s", ids: ["%(Made)s"]}) {
          deletedIds } }""",
        "Made",
        NOT_FOUND,
    ),
    "deleteBatch": Row('mutation { deleteBatch(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND),
    "deleteDataset": Row(
        'mutation { deleteDataset(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "createApiKey": Row('mutation { createApiKey(name: "x") { apiKey { name } } }'),
    "uploadImage": Row(
        """mutation($file: Upload!) { uploadImage(
          input: {datasetId: "%(Dataset)s", file: $file}) { dataset { id } } }""",
        "Dataset",
        NOT_FOUND,
    ),
    "importImage": Row(
        f"""mutation {{ importImage(
          input: {{datasetId: "%(Dataset)s", base64: "{PICTURE}"}}) {{ dataset {{ id }} }} }}""",
        "Dataset",
        NOT_FOUND,
    ),
    "createAnalysis": Row(
        """mutation { createAnalysis(
          input: {imageId: "%(Image)s", modelName: "m", modelVersion: "1"}) { image { id } } }""",
        "Image",
        NOT_FOUND,
    ),
    "analyze": Row(
        """mutation { analyze(input: {imageId: "%(Image)s", tasks: [{
          operation: "detect_bounding_box"}]}) { image { id } } }""",
        "Image",
        NOT_FOUND,
    ),
    "analyzeImage": Row(
        'mutation { analyzeImage(input: {imageId: "%(Image)s", tasks: []}) { picture { width } } }',
        None,
        NOT_FOUND,
    ),
    "addAnnotations": Row(
        """mutation { addAnnotations(input: {analysisId: "%(Analysis)s",
          annotations: [{annotationType: "tag", data: {}}]}) { analysis { id } } }""",
        "Analysis",
        NOT_FOUND,
    ),
    "updateAnalysisStatus": Row(
        """mutation { updateAnalysisStatus(
          input: {analysisId: "%(Analysis)s", status: PROCESSING}) { id } }""",
        "Analysis",
        NOT_FOUND,
    ),
    "presignArtifacts": Row(
        """mutation { presignArtifacts(input: {analysisId: "%(Analysis)s",
          artifacts: [{name: "a.png", contentType: "image/png"}]}) { expiresIn } }""",
        None,
        NOT_FOUND,
    ),
    "finalizeAnalysis": Row(
        'mutation { finalizeAnalysis(input: {analysisId: "%(Analysis)s"}) { id } }',
        "Analysis",
        NOT_FOUND,
    ),
    "cancelAnalysis": Row('mutation { cancelAnalysis(id: "%(Made)s") { id } }', "Made", NOT_FOUND),
    "retryAnalysis": Row('mutation { retryAnalysis(id: "%(Made)s") { id } }', "Made", NOT_FOUND),
    "revokeApiKey": Row('mutation { revokeApiKey(id: "%(Made)s") { id } }', "Made", NOT_FOUND),
    "setRole": Row(
        'mutation { setRole(input: {keyId: "%(Made)s", role: VIEWER}) { keyId } }',
        "Made",
        NOT_FOUND,
    ),
    "grantDatasetRole": Row(
        """mutation { grantDatasetRole(input: {keyId: "%(Made)s", datasetId: "%(Dataset)s",
          role: VIEWER}) { keyId } }""",
        "Made",
        NOT_FOUND,
    ),
    "revokeDatasetRole": Row(
        """mutation { revokeDatasetRole(input: {keyId: "%(Made)s", datasetId: "%(Dataset)s"}) {
          datasetId } }""",
        "Dataset",
        NOT_FOUND,
    ),
    "createCollection": Row(
        """mutation { createCollection(input: {key: "of %(Image)s",
          inputs: [{operation: "embed_clip_vit_b_32"}]}) { description } }"""
    ),
    "addCollectionMembers": Row(
        f"""mutation {{ addCollectionMembers(input: {{collection: "whales",
          modelFingerprints: ["{FINGERPRINT}"], vectors: [{{label: "true", vectors: [[1, 2]]}}]
          }}) {{ collection {{ id }} }} }}""",
        "Collection",
        NOT_FOUND,
    ),
    "removeCollectionMembers": Row(
        """mutation { removeCollectionMembers(input: {collection: "whales", labels: ["nobody"]}) {
          collection { id } } }""",
        "Collection",
        NOT_FOUND,
    ),
    "trainClassifier": Row(
        'mutation { trainClassifier(collection: "whales") { collection { id } } }',
        "Collection",
        NOT_FOUND,
    ),
    "deleteCollection": Row(
        'mutation { deleteCollection(key: "%(Made)s") { deletedId } }', None, NOT_FOUND
    ),
    "createWebhook": Row(
        f"""mutation {{ createWebhook(input: {{datasetId: "%(Dataset)s", url: "{RECEIVER}",
          events: [WEBHOOK_PAUSED]}}) {{ webhook {{ dataset {{ id }} }} }} }}""",
        "Dataset",
        NOT_FOUND,
    ),
    "updateWebhook": Row(
        'mutation { updateWebhook(input: {id: "%(Webhook)s", description: "x"}) { id } }',
        "Webhook",
        NOT_FOUND,
    ),
    "rotateWebhookSecret": Row(
        'mutation { rotateWebhookSecret(id: "%(Webhook)s") { webhook { id } } }',
        "Webhook",
        NOT_FOUND,
    ),
    "testWebhook": Row(
        'mutation { testWebhook(id: "%(Webhook)s") { delivered error } }', None, NOT_FOUND
    ),
    "redeliver": Row('mutation { redeliver(id: "%(Delivery)s") { id } }', "Delivery", NOT_FOUND),
    "deleteWebhook": Row(
        'mutation { deleteWebhook(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "createImageClass": Row(
        """mutation { createImageClass(input: {datasetId: "%(Dataset)s", name: "x"}) { name } }""",
        None,
        NOT_FOUND,
    ),
    "updateImageClass": Row(
        'mutation { updateImageClass(input: {id: "%(ImageClass)s", name: "fluke"}) { id } }',
        "ImageClass",
        NOT_FOUND,
    ),
    "deleteImageClass": Row(
        'mutation { deleteImageClass(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "classifyImage": Row(
        """mutation { classifyImage(input: {imageId: "%(Image)s", classId: "%(ImageClass)s"}) {
          imageClass { id } } }""",
        "ImageClass",
        NOT_FOUND,
    ),
    "declassifyImage": Row(
        'mutation { declassifyImage(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "createComment": Row(
        'mutation { createComment(input: {imageId: "%(Image)s", text: "x"}) { author } }',
        None,
        NOT_FOUND,
    ),
    "updateComment": Row(
        'mutation { updateComment(input: {id: "%(Comment)s", text: "x"}) { id } }',
        "Comment",
        NOT_FOUND,
    ),
    "deleteComment": Row(
        'mutation { deleteComment(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND
    ),
    "setMetadata": Row(
        """mutation { setMetadata(input: {imageId: "%(Image)s", entries: {a: 1}}) {
          image { id } dataset { id } } }""",
        "Image",
        NOT_FOUND,
    ),
    "removeMetadata": Row(
        """mutation { removeMetadata(input: {datasetId: "%(Dataset)s", keys: ["kept"]}) {
          dataset { id } image { id } } }""",
        "Dataset",
        NOT_FOUND,
    ),
    "softDeleteImage": Row(
        """mutation { softDeleteImage(input: {imageId: "%(Made)s", reason: "out of focus"}) {
          id deletion { reason } } }""",
        "Made",
        NOT_FOUND,
    ),
    "restoreImage": Row('mutation { restoreImage(id: "%(Made)s") { id } }', "Made", NOT_FOUND),
    "deleteImage": Row('mutation { deleteImage(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND),
}
"""In an order in which earlier rows leave something to change for later ones."""

OPEN = frozenset({"login", "refreshSession"})
"""Mutations that need no key; `test_signing_in` has them."""

ROWS = QUERIES | MUTATIONS
SUBSCRIPTION = 'subscription { analysisEvents(after: "0") { analysisId analysis { id } } }'
