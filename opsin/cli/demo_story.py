"""What the demo does with a server: a picture in, analyses followed, the graph read."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsin.cli.demo_client import DemoClient
from opsin.cli.demo_picture import LabelledBox
from opsin.core.contract import Box
from opsin.core.errors import OperationUnavailable

OPERATIONS = """{
  operations {
    name resultType paramsSchema availability { target available unavailableReason }
  }
}"""
CREATE_DATASET = """mutation ($name: String!) {
  createDataset(input: {name: $name}) { id }
}"""
UPLOAD_IMAGE = """mutation ($dataset: ID!, $file: Upload!) {
  uploadImage(input: {datasetId: $dataset, file: $file}) { id filename width height }
}"""
ANALYZE = """mutation ($image: ID!, $tasks: [TaskInput!]!) {
  analyze(input: {imageId: $image, tasks: $tasks}) { id taskId }
}"""
FOLLOW = """subscription ($dataset: ID!, $after: Cursor!) {
  analysisEvents(datasetId: $dataset, after: $after) {
    status occurredAt analysisId analysis { taskId errorMessage }
  }
}"""
READ = """query ($dataset: ID!, $first: Int!) {
  dataset(id: $dataset) {
    name
    images {
      nodes {
        filename width height
        analyses(first: $first) {
          nodes {
            operation status errorCode
            result { __typename%s }
            annotations(first: 3) { nodes { annotationType className confidence data } }
          }
        }
      }
    }
  }
}"""
_BOX_FIELDS = " ... on BoundingBox { label score note box { xMin yMin xMax yMax } }"
_FIRST_CURSOR = "0"  # where the log begins: also what happened before we listened comes
_FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


@dataclass(slots=True)
class Choice:
    """What a server can do: tasks for what it can, reasons for the rest."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    unavailable: dict[str, list[str]] = field(default_factory=dict)
    """The operations with their targets, by the reason that they share."""
    result_types: set[str] = field(default_factory=set)

    @property
    def read_query(self) -> str:
        """READ, naming only result types that this server has."""
        return READ % (_BOX_FIELDS if "BoundingBox" in self.result_types else "")


async def choose_tasks(client: DemoClient) -> Choice:
    """Every available operation on every available target, its other params left to themselves.

    Raises OperationUnavailable when nothing can be run.
    """
    choice = Choice()
    for operation in (await client.ask(OPERATIONS))["operations"]:
        choice.result_types.add(operation["resultType"])
        if operation["paramsSchema"].get("required"):
            continue  # it wants to know something that a demo cannot know
        for one in operation["availability"]:
            target = one["target"].lower()
            what = f"{operation['name']} {target}"
            if one["available"]:
                params = {"target": target}
                task = {"taskId": what, "operation": operation["name"], "params": params}
                choice.tasks.append(task)
            else:
                choice.unavailable.setdefault(one["unavailableReason"], []).append(what)
    if not choice.tasks:
        reason = next(iter(choice.unavailable), "no plugin provides an operation")
        raise OperationUnavailable(f"nothing can be run here: {reason}")
    return choice


async def store_picture(client: DemoClient, file: Path) -> tuple[str, dict[str, Any]]:
    """The picture in a new dataset; gives the dataset's id and the image."""
    dataset = (await client.ask(CREATE_DATASET, name="demo"))["createDataset"]["id"]
    stored = await client.upload(UPLOAD_IMAGE, file, dataset=dataset)
    return dataset, stored["uploadImage"]


async def analyze(
    client: DemoClient,
    dataset: str,
    image: str,
    tasks: list[dict[str, Any]],
    told: Callable[[dict[str, Any]], None],
) -> None:
    """Ask for the tasks and follow them until each has ended; `told` is called with each event."""
    asked = (await client.ask(ANALYZE, image=image, tasks=tasks))["analyze"]
    running = {analysis["id"] for analysis in asked}
    following = client.follow(FOLLOW, dataset=dataset, after=_FIRST_CURSOR)
    async with aclosing(following):
        async for data in following:
            event = data["analysisEvents"]
            told(event)
            if event["status"] in _FINAL:
                running.discard(event["analysisId"])
            if not running:
                return


def analyses_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The analyses in the answer to READ."""
    images = answer["dataset"]["images"]["nodes"]
    return [analysis for image in images for analysis in image["analyses"]["nodes"]]


def boxes_of(analyses: list[dict[str, Any]]) -> list[LabelledBox]:
    """The bounding boxes among the annotations."""
    found = []
    for analysis in analyses:
        for annotation in analysis["annotations"]["nodes"]:
            data = annotation["data"]
            if annotation["annotationType"] == "bounding_box" and data.get("format") == "xywh":
                x, y, width, height = (round(side) for side in data["bbox"])
                box = Box(x_min=x, y_min=y, x_max=x + width, y_max=y + height)
                words = [annotation["className"], annotation["confidence"]]
                label = " ".join(f"{w:.4f}" if isinstance(w, float) else w for w in words if w)
                found.append(LabelledBox(box, label))
    return found
