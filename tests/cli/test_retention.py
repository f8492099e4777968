"""`opsin retention sweep`: what is due is removed, by a process of its own."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import update

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.core.datasets import RetentionPolicy
from opsin.core.images import NewImage
from opsin.settings import Settings
from opsin.storage.tables import images
from tests.cli.command import opsin
from tests.pictures import noise_jpeg


async def _with_old_images(folder: Path) -> None:
    """Two images of last week and one of today, of which a dataset keeps the files for a day."""
    async with assemble(Settings(data_dir=folder / "opsin-data")).running() as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()
        dataset = await use_cases.datasets.create(
            principal, "kept for a day", retention=RetentionPolicy(expire_files_after_days=1)
        )
        week = datetime.now(UTC) - timedelta(days=7)
        for number in range(3):
            new = NewImage(dataset.id, f"{number}.jpg")
            image = await use_cases.images.add(principal, new, io.BytesIO(noise_jpeg(seed=number)))
            if number < 2:
                async with use_cases.database.write() as transaction:
                    statement = update(images).where(images.c.id == image.id)
                    await transaction.connection.execute(statement.values(created_at=week))


def test_sweeps_what_is_due(tmp_path: Path) -> None:
    asyncio.run(_with_old_images(tmp_path))
    folder = tmp_path / "opsin-data" / "blobs"

    def files() -> int:
        return sum(path.is_file() for path in folder.rglob("*"))

    assert files() == 3
    swept = opsin("retention", "sweep", "--json", cwd=tmp_path)
    assert swept.code == ExitCode.OK, swept.err
    assert swept.json() == {"files": 2, "results": 0, "images": 0}
    assert files() == 1
    again = opsin("retention", "sweep", cwd=tmp_path)
    assert (
        again.out.strip() == "files of 0 images, results of 0 images, 0 images of what was deleted"
    )


def test_nothing_yet(tmp_path: Path) -> None:
    swept = opsin("retention", "sweep", "--json", cwd=tmp_path)
    assert swept.json() == {"files": 0, "results": 0, "images": 0}
