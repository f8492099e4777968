"""YOLO datasets as folders and archives, however their data.yaml says where things are."""

import zipfile
from pathlib import Path

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput
from opsin.core.imports.options import ImportFormat, ImportOptions
from tests.core.imports.making import content, findings, picture, reasons, take_in

YAML = "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: no\n"


def dataset(folder: Path, yaml: str = YAML) -> Path:
    """Two pictures to train with, one of which shows nothing, and one without labels."""
    for seed, name in enumerate(("train/a.jpg", "train/b.jpg", "val/c.jpg")):
        picture(folder, f"images/{name}", seed)
    (folder / "labels/train").mkdir(parents=True)
    (folder / "labels/train/a.txt").write_bytes(b"0 0.5 0.5 0.2 0.1\r\n1 0 0 0.5 0 0.5 0.5\r\n")
    (folder / "labels/train/b.txt").write_bytes(b"")
    (folder / "data.yaml").write_text(yaml)
    return folder


async def test_a_dataset(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    report = await take_in(parts, principal, dataset(tmp_path / "pets"))
    assert report.is_complete and report.format == "yolo"
    assert (report.images_new, report.analyses_new, report.annotations_new) == (3, 2, 2)
    assert report.findings.notes == {"pictures without a file of labels, not analysed": 1}
    first, second, third = await content(parts, report)
    assert [len(one["analyses"]) for one in (first, second, third)] == [1, 1, 0]
    (empty,) = second["analyses"]
    assert (empty["status"], empty["annotations"]) == ("COMPLETED", [])
    (analysis,) = first["analyses"]
    assert analysis["model_name"] == "pets"
    told = analysis["provenance"]["imported"]
    assert told["source"] == "labels/train/a.txt"
    assert told["image"] == {"file_name": "images/train/a.jpg", "split": "train"}
    assert told["categories"] == {"0": {"name": "cat"}, "1": {"name": "no"}}
    assert [one["class_name"] for one in analysis["annotations"]] == ["cat", "no"]


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../train/images\nnames: [cat, no]\n",  # as Roboflow writes it
        "train: [train/images]\nnames: ['cat', \"no\"]\nnc: 2\n",
        "path: .\ntrain: train/images/\nnames: {0: cat, 1: no}\n",
        "train: train.txt\nnames:\n- cat\n- no\n",
        "\ufefftrain: ./train/images\nnames: [cat, no]\ndownload: |\n  import os\n",
    ],
)
async def test_where_pictures_are(house: Parts, tmp_path: Path, yaml: str) -> None:
    principal = await house.use_cases.access.local()
    folder = tmp_path / "pets"
    picture(folder, "train/images/a.jpg")
    (folder / "train/labels").mkdir()
    (folder / "train/labels/a.txt").write_text("1 0.5 0.5 0.2 0.1 0.5\n")
    (folder / "train.txt").write_text("./train/images/a.jpg\n\n")
    (folder / "data.yaml").write_text(yaml)
    report = await take_in(house, principal, folder / "data.yaml")
    assert report.is_complete and report.images_new == 1
    (found,) = await findings(house, report)
    assert (found["class_name"], found["confidence"]) == ("no", 0.5)


async def test_an_archive_and_names_in_a_text(
    parts: Parts, principal: Principal, tmp_path: Path
) -> None:
    folder = dataset(tmp_path / "pets")
    (folder / "data.yaml").unlink()
    (folder / "classes.txt").write_text("cat\ndog\n")
    archive = tmp_path / "pets.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))
        packed.writestr("../outside.jpg", b"")
        packed.writestr("__MACOSX/images/train/._a.jpg", b"")
    report = await take_in(parts, principal, archive)
    assert report.is_complete and (report.images_new, report.annotations_new) == (3, 2)
    again = await take_in(parts, principal, folder, form=ImportFormat.YOLO)
    assert (again.images_known, again.images_new) == (3, 0)


async def test_what_a_detector_wrote(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    folder = dataset(tmp_path / "pets")
    labels = tmp_path / "predict/labels"
    labels.mkdir(parents=True)
    (labels / "c.txt").write_text("0 0.5 0.5 0.2 0.1 0.91\n")
    (labels / "other.txt").write_text("0 0.5 0.5 0.2 0.1 0.91\n")
    options = ImportOptions("yolo11n", "8.3")
    report = await take_in(parts, principal, folder, options=options, labels=labels)
    assert (report.images_new, report.analyses_new, report.images_missing) == (3, 1, 1)
    assert "other.txt" in report.missing[0].reason
    (found,) = await findings(parts, report)
    assert found["confidence"] == 0.91


async def test_bad_labels(parts: Parts, principal: Principal, tmp_path: Path) -> None:
    folder = dataset(tmp_path / "pets")
    (folder / "labels/train/a.txt").write_text(
        "0 0.5 0.5 0.2 0.1\n\n9 0.5 0.5 0.2 0.1\n0 1.5 0.5 0.2 0.1\n"
    )
    (folder / "labels/train/b.txt").write_bytes("0 0.5 0.5 0.2 0.1".encode("utf-16"))
    (folder / "labels/train/lost.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    (folder / "labels/val").mkdir()
    (folder / "labels/val/c.txt").symlink_to("/etc/hostname")
    picture(folder, "images/train/d.jpg").write_bytes(b"GIF89a")
    report = await take_in(parts, principal, folder)
    assert reasons(report) == [
        "labels/train/a.txt:3: class 9 is not among the 2 names",
        "labels/train/a.txt:4: 1.5 is not from 0 to 1",
        "labels/train/b.txt: it is not UTF-8",
        "labels/val/c.txt: a link leads out of the folder",
    ]
    missing = [f"{one.place}: {one.reason}" for one in report.missing]
    assert [text.split(": ")[1] for text in missing] == [
        "images/train/d.jpg",
        "the picture of labels/train/lost.txt",
    ]
    # What is wrong with one label is no reason to say that there is nothing in the picture.
    first, second, third = await content(parts, report)
    assert [len(one["analyses"]) for one in (first, second, third)] == [1, 0, 0]
    assert report.annotations_new == 1


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("train: images/train\n", "no `names`"),
        ("- a\n", "no `names`"),
        ("names: [cat\n", "not YAML"),
        ("train: images/train\nnames: 3\nkpt_shape: [17]\n", "cannot be read"),
        ("train: images/train\nnames: [cat]\nkpt_shape: [17, 4]\n", "kpt_shape"),
        ("train: elsewhere\nnames: [cat]\n", "none of the folders"),
        ("train: ../../etc\nnames: [cat]\n", "none of the folders"),
        ("train: /etc\nnames: [cat]\n", "none of the folders"),
        ("train: images/train\nnames: cat\n", "cannot be read"),
        ("train: images/train\nnames: [cat, [no]]\n", "cannot be read"),
        ("train: images/train\nnames: [cat]\nkpt_names: [[eye]]\n", "cannot be read"),
        ("train: [[images/train]]\nnames: [cat]\n", "must be the name of a folder"),
        ("train: images/train\npath: [a]\nnames: [cat]\n", "must be the name of a folder"),
    ],
)
async def test_a_bad_description(house: Parts, tmp_path: Path, yaml: str, words: str) -> None:
    principal = await house.use_cases.access.local()
    with pytest.raises(InvalidInput, match=words):
        await take_in(house, principal, dataset(tmp_path / "pets", yaml))


async def test_lists_that_hold_each_other_are_no_names(house: Parts, tmp_path: Path) -> None:
    """A few lines that name one list many times would be a text of gigabytes."""
    principal = await house.use_cases.access.local()
    lists = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    yaml = f"train: images/train\nl0: &l0 [x]\n{lists}names: [*l29]\n"
    with pytest.raises(InvalidInput, match="cannot be read"):
        await take_in(house, principal, dataset(tmp_path / "pets", yaml))


async def test_a_folder_that_is_nothing(house: Parts, tmp_path: Path) -> None:
    principal = await house.use_cases.access.local()
    folder = tmp_path / "none"
    picture(folder, "a.jpg")
    with pytest.raises(InvalidInput, match=r"no JSON file, and no data\.yaml"):
        await take_in(house, principal, folder)
    with pytest.raises(InvalidInput, match=r"neither data\.yaml nor classes.txt"):
        await take_in(house, principal, folder, form=ImportFormat.YOLO)
