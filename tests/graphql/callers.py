"""Every root field of the schema, asked by its owner's ids, for the matrix of callers."""

import base64
from typing import NamedTuple

from tests.pictures import solid_png

NOT_FOUND = "NOT_FOUND"
FINGERPRINT = "c" * 64


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
}
MUTATIONS = {
    "createDataset": Row('mutation { createDataset(input: {name: "x"}) { name } }'),
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
    "deleteImage": Row('mutation { deleteImage(id: "%(Made)s") { deletedId } }', "Made", NOT_FOUND),
}
"""In an order in which earlier rows leave something to change for later ones."""

ROWS = QUERIES | MUTATIONS
SUBSCRIPTION = 'subscription { analysisEvents(after: "0") { analysisId analysis { id } } }'
