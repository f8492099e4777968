"""What tests of the viewer put into a server, and how they look at its canvas."""

from io import BytesIO
from typing import Any

from PIL import Image
from playwright.async_api import Page

from tests.conftest import LiveServer

WIDTH, HEIGHT = 400, 300

_INKED = """([x, y, width]) => {
  const canvas = document.querySelector('.stage-overlay:not(.next)');
  const picture = document.querySelector('.stage-picture').getBoundingClientRect();
  const own = canvas.getBoundingClientRect();
  const scale = picture.width / width;
  const ratio = canvas.width / own.width;
  const left = (picture.left - own.left + x * scale) * ratio;
  const top = (picture.top - own.top + y * scale) * ratio;
  const {data} = canvas.getContext('2d').getImageData(left - 2, top - 2, 5, 5);
  return Math.max(...data.filter((_, at) => at % 4 === 3));
}"""


def picture(color: str = "#708090") -> bytes:
    """A plain picture of WIDTH x HEIGHT pixels, as PNG."""
    out = BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), color).save(out, "PNG")
    return out.getvalue()


async def inked(page: Page, x: float, y: float) -> None:
    """Waits until something is drawn around a pixel of the picture."""
    await page.wait_for_function(f"(place) => ({_INKED})(place) > 60", arg=[x, y, WIDTH])


async def blank(page: Page, x: float, y: float) -> None:
    """Waits until nothing is."""
    await page.wait_for_function(f"(place) => ({_INKED})(place) === 0", arg=[x, y, WIDTH])


async def new_image(live: LiveServer, filename: str = "plain.png") -> tuple[str, str]:
    """The ids of a dataset and of a picture in it."""
    made = await live.data(
        "mutation($n: String!) { createDataset(input: {name: $n}) { id } }", n="Seen"
    )
    dataset: str = made["createDataset"]["id"]
    answer = await live.upload(dataset, picture(), filename)
    return dataset, answer["data"]["uploadImage"]["id"]


async def begin(live: LiveServer, image: str, model: str = "yolo", version: str = "1") -> str:
    """An external analysis that is being processed."""
    made = await live.data(
        "mutation($i: CreateAnalysisInput!) { createAnalysis(input: $i) { id } }",
        i={"imageId": image, "modelName": model, "modelVersion": version},
    )
    analysis: str = made["createAnalysis"]["id"]
    await live.data(
        "mutation($i: UpdateAnalysisStatusInput!) { updateAnalysisStatus(input: $i) { id } }",
        i={"analysisId": analysis, "status": "PROCESSING"},
    )
    return analysis


async def tell(live: LiveServer, analysis: str, found: list[dict[str, Any]]) -> None:
    """Adds findings and ends the analysis."""
    await live.data(
        "mutation($i: AddAnnotationsInput!) { addAnnotations(input: $i) { createdCount } }",
        i={"analysisId": analysis, "annotations": found},
    )
    await live.data(
        "mutation($i: FinalizeAnalysisInput!) { finalizeAnalysis(input: $i) { id } }",
        i={"analysisId": analysis},
    )


def box(
    corner_and_size: list[float], name: str = "boat", confidence: float = 0.9
) -> dict[str, Any]:
    """A bounding box; `corner_and_size` in pixels."""
    data = {"bbox": corner_and_size, "format": "xywh"}
    kind = "bounding_box"
    return {"annotationType": kind, "className": name, "confidence": confidence, "data": data}
