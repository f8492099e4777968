"""What most tests of the door ask for: a dataset, an image, analyses, and the code of an error."""

import base64
import io
from typing import Any

import httpx

from tests.conftest import LiveServer
from tests.pictures import solid_png

CREATE_DATASET = """mutation($name: String!) { createDataset(input: {name: $name}) { id } }"""
IMPORT_IMAGE = (
    """mutation($input: ImportImageInput!) { importImage(input: $input) { id sha256 } }"""
)
CREATE_ANALYSIS = """mutation($input: CreateAnalysisInput!) {
  createAnalysis(input: $input) { id status } }"""
ANALYZE = """mutation($input: AnalyzeInput!) { analyze(input: $input) { id status taskId } }"""
SET_STATUS = """mutation($id: ID!, $status: AnalysisStatus!, $message: String) {
  updateAnalysisStatus(input: {analysisId: $id, status: $status, errorMessage: $message}) {
    id status startedAt completedAt errorMessage } }"""
FINALIZE = """mutation($input: FinalizeAnalysisInput!) {
  finalizeAnalysis(input: $input) { id status summary completedAt errorMessage } }"""
ADD_ANNOTATIONS = """mutation($id: ID!, $found: [AnnotationInput!]!) {
  addAnnotations(input: {analysisId: $id, annotations: $found}) {
    createdCount analysis { id annotations { totalCount } } } }"""
CREATE_COLLECTION = """mutation($key: String!, $operation: String!) {
  createCollection(input: {key: $key, inputs: [{operation: $operation}]}) { id } }"""
ADD_MEMBERS = """mutation($input: AddCollectionMembersInput!) {
  addCollectionMembers(input: $input) { addedCount } }"""
SOFT_DELETE = """mutation($id: ID!) {
  softDeleteImage(input: {imageId: $id, reason: "it is out of focus"}) { id } }"""
NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"


async def dataset(live: LiveServer, name: str = "pictures") -> str:
    made = await live.data(CREATE_DATASET, name=name)
    return str(made["createDataset"]["id"])


async def image(live: LiveServer, dataset_id: str | None = None, **more: Any) -> str:
    """A small picture in a dataset, by default in a new one."""
    given = {
        "datasetId": dataset_id or await dataset(live),
        "base64": base64.b64encode(solid_png()).decode(),
        "filename": "red.png",
    }
    made = await live.data(IMPORT_IMAGE, input=given | more)
    return str(made["importImage"]["id"])


async def subject(live: LiveServer, dataset_id: str, **more: Any) -> str:
    made = await live.data(
        "mutation($input: CreateSubjectInput!) { createSubject(input: $input) { id } }",
        input={"datasetId": dataset_id, "name": "somebody"} | more,
    )
    return str(made["createSubject"]["id"])


async def batch(live: LiveServer, dataset_id: str, **more: Any) -> str:
    made = await live.data(
        "mutation($input: CreateBatchInput!) { createBatch(input: $input) { id } }",
        input={"datasetId": dataset_id} | more,
    )
    return str(made["createBatch"]["id"])


async def application(live: LiveServer, name: str = "looks", *steps: dict[str, Any]) -> str:
    """An application of the company's own; by default of two operations without weights."""
    given = steps or ({"operation": "dominant_colors"}, {"operation": "image_quality"})
    made = await live.data(
        "mutation($input: CreateApplicationInput!) { createApplication(input: $input) { id } }",
        input={"name": name, "steps": list(given)},
    )
    return str(made["createApplication"]["id"])


async def attach(
    live: LiveServer, application_id: str, dataset_id: str, steps: list[str] | None = None
) -> str:
    made = await live.data(
        "mutation($input: AttachApplicationInput!) { attachApplication(input: $input) { id } }",
        input={"applicationId": application_id, "datasetId": dataset_id, "steps": steps},
    )
    return str(made["attachApplication"]["id"])


async def external(live: LiveServer, image_id: str | None = None, **more: Any) -> str:
    """An analysis whose model is run elsewhere."""
    given = {
        "imageId": image_id or await image(live),
        "modelName": "their-model",
        "modelVersion": "1",
    }
    made = await live.data(CREATE_ANALYSIS, input=given | more)
    return str(made["createAnalysis"]["id"])


async def set_status(live: LiveServer, analysis_id: str, status: str) -> dict[str, Any]:
    done = await live.data(SET_STATUS, id=analysis_id, status=status)
    changed: dict[str, Any] = done["updateAnalysisStatus"]
    return changed


async def queued(live: LiveServer, image_id: str | None = None) -> str:
    """An analysis of ours that no worker will claim."""
    task = {"operation": "detect_bounding_box", "params": {"target": "prominent_face"}}
    given = {"imageId": image_id or await image(live), "tasks": [task]}
    return str((await live.data(ANALYZE, input=given))["analyze"][0]["id"])


async def image_class(live: LiveServer, dataset_id: str, name: str = "fin") -> str:
    made = await live.data(
        """mutation($dataset: ID!, $name: String!) {
          createImageClass(input: {datasetId: $dataset, name: $name}) { id } }""",
        dataset=dataset_id,
        name=name,
    )
    return str(made["createImageClass"]["id"])


async def classification(live: LiveServer, image_id: str, class_id: str) -> str:
    """That an image has a class."""
    made = await live.data(
        """mutation($image: ID!, $class: ID!) {
          classifyImage(input: {imageId: $image, classId: $class}) { id } }""",
        **{"image": image_id, "class": class_id},
    )
    return str(made["classifyImage"]["id"])


async def comment(live: LiveServer, image_id: str, text: str = "a fin") -> str:
    made = await live.data(
        """mutation($image: ID!, $text: String!) {
          createComment(input: {imageId: $image, text: $text}) { id } }""",
        image=image_id,
        text=text,
    )
    return str(made["createComment"]["id"])


def codes(answer: dict[str, Any]) -> list[str]:
    """The codes of an answer's errors; empty when it has none."""
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def box(**changes: Any) -> dict[str, Any]:
    """An annotation that is right, but for the changes."""
    return {
        "annotationType": "bounding_box",
        "data": {"bbox": [1, 2, 3, 4], "format": "xywh"},
        "className": "face",
        "confidence": 0.5,
    } | changes


async def post_file(
    client: httpx.AsyncClient, operations: str, picture: bytes, path: str, **options: Any
) -> httpx.Response:
    """One file by the multipart request specification; `path` says which variable it is."""
    return await client.post(
        "/graphql",
        data={"operations": operations, "map": f'{{"0": ["{path}"]}}'},
        files={"0": ("a.png", io.BytesIO(picture), "image/png")},
        **options,
    )
