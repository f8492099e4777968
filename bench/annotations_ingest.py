"""10,000 annotations of an external analysis in one GraphQL request."""

import random
import statistics
import time
from typing import Any

import orjson

from bench.databases import each_database
from bench.pictures import portrait
from bench.server import data, new_image, running_server

ANNOTATIONS = 10_000
RUNS = 7

CREATE = "mutation($input: CreateAnalysisInput!) { createAnalysis(input: $input) { id } }"
ADD = """mutation($input: AddAnnotationsInput!) {
  addAnnotations(input: $input) { createdCount analysis { status } } }"""


def annotations(seed: int) -> list[dict[str, Any]]:
    numbers = random.Random(seed)
    return [
        {
            "annotationType": "bounding_box",
            "className": f"class {number % 80}",
            "confidence": numbers.random(),
            "data": {
                "bbox": [round(numbers.random() * 500, 2) for _ in range(4)],
                "format": "xywh",
            },
            "ordering": number,
        }
        for number in range(ANNOTATIONS)
    ]


def measure(url: str, folder: Any) -> list[float]:
    """Seconds of each request, body already serialised, a fresh analysis each."""
    seconds = []
    with running_server(folder, database_url=url) as client:
        image = new_image(client, portrait())
        for run in range(RUNS + 1):
            new = {"imageId": image, "modelName": "yolo", "modelVersion": "8"}
            analysis = data(client, CREATE, input=new)["createAnalysis"]["id"]
            given = {"analysisId": analysis, "annotations": annotations(run)}
            body = orjson.dumps({"query": ADD, "variables": {"input": given}})
            started = time.perf_counter()
            answer = client.post(
                "/graphql", content=body, headers={"content-type": "application/json"}
            ).json()
            seconds.append(time.perf_counter() - started)
            if answer["data"]["addAnnotations"]["createdCount"] != ANNOTATIONS:
                raise AssertionError(answer)
    return seconds[1:]


def main() -> list[dict[str, Any]]:
    results = []
    for name, url, folder in each_database():
        seconds = measure(url, folder)
        results.append(
            {
                "database": name,
                "annotations": ANNOTATIONS,
                "median_seconds": round(statistics.median(seconds), 3),
                "best_seconds": round(min(seconds), 3),
            }
        )
        print(results[-1], flush=True)
    return results


if __name__ == "__main__":
    main()
