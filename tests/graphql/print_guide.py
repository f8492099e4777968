"""Writes the answers of docs/graphql.md anew: `python -m tests.graphql.print_guide`."""

import asyncio
import tempfile
from pathlib import Path

from opsin.settings import Settings
from tests.conftest import serve
from tests.graphql.guide import GUIDE, compared, read, told, written


async def print_guide() -> None:
    """Replace the answers that a server does not give; the others stay as they are."""
    guide = GUIDE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), worker=True, poll_seconds=0.05)
        async with serve(settings) as live:
            story = await told(live, guide)
    for query, shown, answers in story:
        if compared(read(shown)) != compared(answers):
            text = "".join(f"{written(answer)}\n" for answer in answers)
            before = f"```graphql\n{query}```\n\n```json\n"
            text = text.replace(live.url, "http://127.0.0.1:8000")
            guide = guide.replace(f"{before}{shown}```", f"{before}{text}```")
    GUIDE.write_text(guide, "utf-8")


if __name__ == "__main__":
    asyncio.run(print_guide())
