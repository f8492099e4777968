"""`opsin report`: a PDF from the server's machine."""

from pathlib import Path

import pypdfium2
import pytest

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.settings import Settings
from tests.cli.command import opsin
from tests.core.history.rows import Diary, diary
from tests.graphql.asking import NO_SUCH_ID


@pytest.fixture
async def made(tmp_path: Path) -> Diary:
    """A subject with one measured image in the data directory of the commands."""
    settings = Settings(data_dir=tmp_path / "opsin-data", worker=False)
    async with assemble(settings).running() as parts:
        found = await diary(parts, await parts.use_cases.access.local())
        await found.scored(0, 72)
    return found


def test_a_report_is_written(tmp_path: Path, made: Diary) -> None:
    ended = opsin("report", made.images[0], "-o", "grace.pdf", cwd=tmp_path)
    assert (ended.code, ended.out) == (ExitCode.OK, "")
    assert ended.complaint.startswith("grace.pdf: ")
    with pypdfium2.PdfDocument(tmp_path / "grace.pdf") as document:
        text = document[0].get_textpage().get_text_bounded()
    assert "Grace" in text
    assert "Redness" in text
    assert not list(tmp_path.glob(".*.part"))


def test_no_report_of_an_unknown_image(tmp_path: Path, made: Diary) -> None:
    ended = opsin("report", NO_SUCH_ID, "-o", "grace.pdf", cwd=tmp_path)
    assert (ended.code, ended.complaint) == (ExitCode.USAGE, "opsin: Image not found")
    assert not (tmp_path / "grace.pdf").exists()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, made: Diary) -> None:
    ended = opsin("report", made.images[0], "-o", "nowhere/grace.pdf", cwd=tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "nowhere/grace.pdf cannot be written" in ended.complaint
