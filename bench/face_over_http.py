"""Face detection of the portrait over HTTP, paired with calling MTCNN directly."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pictures import portrait
from bench.server import data, new_image, running_server

RUNS = 40

ANALYZE = """mutation($image: ID!, $reuse: Boolean! = true) { analyzeImage(input: {
  imageId: $image, reuse: $reuse,
  tasks: [{run: {detectBoundingBox: {target: PROMINENT_FACE}}}]}) {
    outcomes { status result { ... on BoundingBox { score box { xMin yMin xMax yMax } } } } } }"""


def main() -> list[dict[str, Any]]:
    import io

    from facenet_pytorch import MTCNN
    from PIL import Image

    direct_model = MTCNN(keep_all=True)

    def direct() -> Any:
        picture = Image.open(io.BytesIO(portrait())).convert("RGB")
        return direct_model.detect(picture)

    with (
        tempfile.TemporaryDirectory(prefix="opsin-bench-") as folder,
        running_server(Path(folder)) as client,
    ):
        image = new_image(client, portrait())

        def over_http() -> Any:
            return data(client, ANALYZE, image=image, reuse=False)["analyzeImage"]["outcomes"][0]

        box = over_http()["result"]["box"]
        expected = [int(side) for side in direct()[0][0]]
        if list(box.values()) != expected:
            raise AssertionError(f"{box} is not the box of MTCNN, {expected}")
        pairs = [(_seconds(direct), _seconds(over_http)) for _ in range(RUNS)][5:]
    result = {
        "direct_ms": round(statistics.median(d for d, _ in pairs) * 1000, 1),
        "over_http_ms": round(statistics.median(h for _, h in pairs) * 1000, 1),
        "ratio": round(statistics.median(h / d for d, h in pairs), 3),
    }
    print(result, flush=True)
    return [result]


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
