"""`opsin galleries evaluate`: individuals looked for in folders and in a collection."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opsin.assembly import assemble
from opsin.cli.exit_codes import ExitCode
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.plugin_host import PluginSource
from opsin.settings import load_settings
from tests.cli import embedding_plugin
from tests.cli.command import NO_BUILTINS, Ended, install, opsin

EMBEDDING = ("--operation", "embed_mean_color")
RED, GREEN, BLUE, PINK = (250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 60, 60)


def colored(folder: Path, **colors: tuple[int, int, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, color in colors.items():
        picture = np.full((7, 9, 3), color, np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path, "mean_color", Path(embedding_plugin.__file__).read_text("utf-8"))
    colored(tmp_path / "whales" / "Ruby", a=RED, b=PINK)
    colored(tmp_path / "whales" / "Emerald", a=GREEN, b=(40, 250, 40))
    colored(tmp_path / "whales" / "Sapphire", a=BLUE)
    return tmp_path


def run(folder: Path, *arguments: object) -> Ended:
    return opsin(
        "galleries", "evaluate", *arguments, *EMBEDDING, "--data-dir", folder / "data",
        cwd=folder, settings=NO_BUILTINS,
    )  # fmt: skip


def test_each_picture_among_all_the_others(folder: Path) -> None:
    ended = run(folder, "whales", "--json")
    assert ended.code == ExitCode.OK, ended.err
    found = ended.json()
    assert (found["individuals"], found["gallery_pictures"]) == (3, 5)
    assert (found["known"], found["unknown"], found["failed"]) == (4, 1, 0)
    assert found["closed"] == {"pictures": 4, "top_1": 1.0, "top_5": 1.0}
    # The one picture of Sapphire is far from all others, so some threshold parts it from them.
    assert (found["chosen"]["known"], found["chosen"]["unknown"]) == (1.0, 1.0)
    assert found["chosen"]["map_5"] == 1.0 and found["is_given"] is False
    told = run(folder, "whales", "--min-cosine", "0.5")
    assert "top-1" in told.out and "min_cosine 0.500000 (as given)" in told.out


def test_gallery_and_queries_by_species(folder: Path) -> None:
    (folder / "split").mkdir()
    (folder / "whales").rename(folder / "split" / "gallery")
    colored(folder / "split" / "query" / "Ruby", a=(240, 30, 30))
    colored(folder / "split" / "query" / "Emerald", a=PINK)
    colored(folder / "split" / "query" / "Onyx", a=(128, 128, 128))
    (folder / "species.csv").write_text("individual_id,species\nRuby,orca\nEmerald,beluga\n")
    found = run(folder, "split", "--species", "species.csv", "--json").json()
    assert (found["known"], found["unknown"], found["gallery_pictures"]) == (2, 1, 5)
    assert found["closed"]["top_1"] == 0.5
    by_species = {name: one["top_1"] for name, one in found["species"].items()}
    assert by_species == {"beluga": 0.0, "orca": 1.0, "not stated": None}
    mean = run(folder, "split", "--combine", "mean", "--nearest", 1, "--json").json()
    assert mean["closed"] == found["closed"]


async def enrol(folder: Path, fingerprint: str = embedding_plugin.FINGERPRINT) -> None:
    """What the server's own enrolment stores, for the company of the command line."""
    settings = load_settings(data_dir=folder / "data")
    source = PluginSource("mean_color", embedding_plugin.__name__, "opsin-mean_color")
    async with assemble(settings, [source]).running() as parts:
        principal = await parts.use_cases.access.local()
        new = NewCollection("pod", [NewInput("embed_mean_color")])
        await parts.use_cases.collections.create(principal, new)
        members = [
            NewMember("Ruby", [RED], attributes={"species": "orca"}),
            NewMember("Emerald", [GREEN]),
        ]
        await parts.use_cases.enrolment.add_vectors(principal, "pod", members, [fingerprint])


async def test_a_stored_gallery(folder: Path) -> None:
    await enrol(folder)
    found = run(folder, "whales", "--gallery", "pod", "--json").json()
    assert (found["individuals"], found["gallery_pictures"]) == (2, 2)
    assert (found["known"], found["unknown"]) == (4, 1)
    assert found["closed"]["top_1"] == 1.0
    assert found["species"]["orca"] == {"pictures": 2, "top_1": 1.0, "top_5": 1.0}


async def test_a_stored_gallery_that_cannot_be_compared(folder: Path) -> None:
    await enrol(folder, fingerprint="ab" * 32)
    ended = run(folder, "whales", "--gallery", "pod")
    assert (ended.code, "embedded with other weights" in ended.complaint) == (ExitCode.USAGE, True)
    assert "no collection 'herd'" in run(folder, "whales", "--gallery", "herd").complaint
    ended = run(folder, "whales", "--gallery", "pod", "--company", "nobody")
    assert ended.complaint == "opsin: there is no company 'nobody'; `opsin keys create` makes it"


def test_a_picture_that_cannot_be_embedded_is_left_out(folder: Path) -> None:
    colored(folder / "whales" / "Onyx", a=(0, 0, 0))
    ended = run(folder, "whales", "--json")
    assert ended.code == ExitCode.FAILED
    assert "a.png: black has no colour" in ended.complaint
    assert ended.json()["individuals"] == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere",), "there is no folder nowhere"),
        (("site",), "there is no picture in these folders"),
        (("whales", "--combine", "median"), "--combine must be max or mean"),
        (("whales", "--nearest", 3), "--nearest goes with --combine mean"),
        (("whales", "--species", "whales/Ruby/a.png"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_as_asked(
    folder: Path, arguments: tuple[object, ...], complaint: str
) -> None:
    ended = run(folder, *arguments)
    assert ended.code == ExitCode.USAGE
    assert complaint in ended.complaint


def test_only_embeddings_are_compared(folder: Path) -> None:
    ended = opsin("galleries", "evaluate", "whales", "--operation", "image_quality", cwd=folder)
    assert ended.complaint == "opsin: image_quality gives no embedding"
