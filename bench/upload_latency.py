"""What HTTP, the form and GraphQL add to an operation: uploads, paired with calls in process."""

import statistics
import tempfile
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.inference.jpegs import jpegs
from bench.server import running_server
from bench.small_reads import Connection, upload
from opsin.assembly import assemble
from opsin.cli import event_loop
from opsin.core.engine import make_task
from opsin.core.immediate import PictureSource
from opsin.settings import Settings

PAIRS = 80
OPERATION = "perceptual_hash"
MUTATION = f"""mutation($file: Upload!) {{ analyzeImage(input: {{file: $file, reuse: false,
  tasks: [{{operation: "{OPERATION}"}}]}}) {{ outcomes {{ status }} }} }}"""


def main() -> list[dict[str, Any]]:
    return event_loop.run(_measure())


async def _measure() -> list[dict[str, Any]]:
    pictures = jpegs(2 * PAIRS, 1152, 864)
    with tempfile.TemporaryDirectory(prefix="opsin-bench-") as name:
        folder = Path(name)
        # Every picture is new, and nothing is to be found again.
        kept = {"picture_cache_bytes": 0, "result_cache_bytes": 0}
        settings = Settings(data_dir=folder / "here", worker=False, **kept)
        given = {name: str(value) for name, value in kept.items()}
        async with assemble(settings).running() as parts:
            access, immediate = parts.use_cases.access, parts.use_cases.immediate
            principal = await access.local()
            task = replace(make_task(parts.use_cases.host, "0", OPERATION), reuse=False)
            with running_server(folder / "there", **given) as client:
                connection = Connection(client.base_url.port or 80)
                pairs = []
                for with_http, in_process in zip(pictures[::2], pictures[1::2], strict=True):
                    over_http = connection.ask(upload(MUTATION, with_http), b"SUCCESS")
                    source = PictureSource(file=BytesIO(in_process))
                    started = time.perf_counter()
                    await immediate.analyze(principal, source, [task])
                    pairs.append((over_http, time.perf_counter() - started))
    pairs = pairs[10:]
    result = {
        "kilobytes": round(statistics.median(len(picture) for picture in pictures) / 1000),
        "over_http_ms": round(statistics.median(a for a, _ in pairs) * 1000, 2),
        "in_process_ms": round(statistics.median(b for _, b in pairs) * 1000, 2),
        "added_ms": round(statistics.median(a - b for a, b in pairs) * 1000, 2),
    }
    print(result, flush=True)
    return [result]


if __name__ == "__main__":
    main()
