"""Fonts: every script has one that is embedded, and what has none is told."""

from pathlib import Path

import pytest

from opsin.assembly import Parts
from opsin.core.reports import fonts
from opsin.core.reports.fonts import MISSING, choose, covered, cut
from opsin.storage.tables import subjects
from tests.core.history.rows import diary
from tests.core.reports.pages import shown
from tests.core.reports.test_reports import change

NAMES = {
    "Latin": "Žofie Łukasiewicz Nguyễn",
    "Cyrillic": "Грейс Хоппер",
    "Greek": "Γκρέις Χόπερ",
    "Chinese": "葛丽丝霍普",
    "Japanese": "グレース・ホッパー",
    "Korean": "그레이스 호퍼",
    "Armenian": "Գրեյս",
    "number": "Page {nb} of 2",
}


@pytest.mark.parametrize("script", NAMES)
async def test_a_name_is_shown_in_its_script(house: Parts, script: str) -> None:
    made = await diary(house, await house.use_cases.access.local())
    await change(made, subjects, made.subject_id, name=NAMES[script])
    image = await made.scored(0, 50)
    found = shown(await house.use_cases.reports.pdf(made.principal, image))
    assert NAMES[script] in found.text
    assert MISSING not in found.text
    assert all(found.fonts.values()), found.fonts


async def test_arabic_is_joined_and_runs_from_right_to_left(house: Parts) -> None:
    made = await diary(house, await house.use_cases.access.local())
    await change(made, subjects, made.subject_id, name="جريس هوبر")
    image = await made.scored(0, 50)
    found = shown(await house.use_cases.reports.pdf(made.principal, image))
    # Joined letters are other glyphs: they are told back as letters, in the order of reading.
    letters = [one for one in found.text if "\u0600" <= one <= "\u06ff" or one >= "\ufb50"]
    assert len(letters) >= 7
    assert MISSING not in found.text
    assert all(found.fonts.values())


async def test_what_no_font_shows_is_told(house: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_of_machine", lambda: ())
    made = await diary(house, await house.use_cases.access.local())
    await change(made, subjects, made.subject_id, name="Grace \U00010600\U00010601")
    image = await made.scored(0, 50)
    text = shown(await house.use_cases.reports.pdf(made.principal, image)).text
    assert f"Grace {MISSING}{MISSING}" in text
    assert "stands for characters that no font on this machine shows" in text


def test_the_machines_fonts_step_in(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    # Its math font stands for one that an operator has installed.
    other = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"
    usual = set(covered(other.with_name("DejaVuSans.ttf"), 0))
    only_there = chr(min(set(covered(other, 0)) - usual))
    monkeypatch.setattr(fonts, "_of_machine", lambda: (other,))
    monkeypatch.setattr(fonts, "_cjk", lambda: None)
    chosen = choose({only_there, "a"})
    assert [font.path.name for font in chosen.fonts][3:] == ["STIXGeneral.ttf"]
    assert not chosen.missing
    assert choose({"a"}).fallbacks == []


def test_a_file_that_is_no_font_covers_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font at all")
    assert covered(broken, 0) == frozenset()
    assert covered(tmp_path / "nowhere.ttf", 0) == frozenset()


@pytest.mark.parametrize(("text", "face"), [("ホ", 0), ("호", 1), ("霍", 2)])
def test_chinese_japanese_and_korean_have_their_own_shapes(text: str, face: int) -> None:
    chosen = choose(text)
    assert [font.number for font in chosen.fonts][3:] == [face]


def test_only_what_is_needed_is_embedded(tmp_path: Path) -> None:
    chosen = choose("霍")
    for font in chosen.fonts:
        assert cut(font, "霍", tmp_path).stat().st_size < 60_000


async def test_lines_after_one_that_begins_with_another_font_keep_theirs(house: Parts) -> None:
    name = "佐藤 花子, whose name is so long that it needs another line of the heading, and more"
    made = await diary(house, await house.use_cases.access.local())
    await change(made, subjects, made.subject_id, name=name)
    image = await made.scored(0, 50)
    text = shown(await house.use_cases.reports.pdf(made.principal, image)).text
    # In a wrong font other letters stand there.
    assert "佐藤 花子, whose name is so long that it" in text
    assert "another line of the heading" in text
