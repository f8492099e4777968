"""A text within another: the same on both databases and in Python, in every alphabet."""

import re
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from opsin.storage.database import Database
from opsin.storage.substring import Substring, carries, column_carries, column_contains
from opsin.storage.tables import Json

TEXTS = (
    "IMG_0001.JPG",
    "IMG00001.jpg",
    "20% off",
    "200 off",
    "a*b?c[d]e",
    "[a]",
    "back\\slash",
    "(1.5+2)^{3}|$",
    "Übergröße ÉTÉ",
    "übergrösse été",
    "ΣΊΣΥΦΟΣ σίσυφος",
    "ИМЯ файла",
    "\U0001f40b whale",
    "two\nlines",
    "",
)
WANTED = (
    "img_",
    "20%",
    "*",
    "?",
    "[a",
    "]",
    "[d]",
    "\\",
    "\\s",
    ".",
    "1.5+2)^{3}|$",
    "ÜBER",
    "été",
    "ß",
    "σίς",
    "имя",
    "\U0001f40b",
    "o\nl",
    "nowhere",
    " ",
    "a",
)
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"place": "Bergen", "depth": 40},
    {"bergen": "a key, no value"},
    {"note": "20% snow, 7°", "place": None},
    {"list": [1.5, {"deep": "BERGEN"}], "flag": True},
    {"quote": 'say "hi"\n', "big": 10**30, "small": 0.1},
    {},
)
_things = Table(
    "things",
    MetaData(),
    Column("id", String(40), primary_key=True),
    Column("text", String(100)),
    Column("document", Json),
)


@pytest.fixture
async def database(any_database_url: str) -> Any:
    """A table with every text, one NULL, and every document."""
    made = Database(any_database_url)
    rows: list[dict[str, Any]] = [{"id": f"t{n}", "text": text} for n, text in enumerate(TEXTS)]
    rows.append({"id": "null", "text": None})
    async with made.write() as transaction:
        await transaction.connection.run_sync(_things.metadata.create_all)
        for row in rows:
            await transaction.connection.execute(insert(_things).values(row | {"document": {}}))
        for number, document in enumerate(DOCUMENTS):
            values = {"id": f"d{number}", "document": document}
            await transaction.connection.execute(insert(_things).values(values))
    yield made
    await made.close()


def expected(wanted: str) -> set[str]:
    """The texts that have it, as Python's own comparison without case tells."""
    return {text for text in TEXTS if wanted.casefold() in text.casefold()}


async def test_the_databases_agree_with_python(database: Database) -> None:
    async with database.read() as connection:
        for wanted in WANTED:
            condition = column_contains(_things.c.text, Substring(wanted))
            rows = await connection.execute(select(_things.c.text).where(condition))
            found = set(rows.scalars())
            own = {text for text in TEXTS if re.search(Substring(wanted).regex, text)}
            assert found == own, wanted
            if wanted not in ("ß", "σίς"):  # one letter for two, and a letter with two small forms
                assert found == expected(wanted), wanted


@pytest.mark.parametrize(
    ("key", "wanted", "numbers"),
    [
        (None, "bergen", {0, 3}),
        ("place", "BERGEN", {0}),
        ("bergen", "", {1}),
        (None, "20%", {2}),
        (None, "7°", {2}),
        ("place", "", {0, 2}),
        ("place", "null", {2}),
        ("depth", "4", {0}),
        ("flag", "TRUE", {3}),
        ("list", '{"DEEP":', {3}),
        ("quote", 'say "HI"\n', {4}),
        ("big", "1" + "0" * 30, {4}),
        ("small", "0.1", {4}),
        ("nothing", "", set()),
        (None, "place", set()),
    ],
)
async def test_values_of_documents(
    database: Database, key: str | None, wanted: str, numbers: set[int]
) -> None:
    condition = column_carries(_things.c.document, key, Substring(wanted))
    async with database.read() as connection:
        rows = await connection.execute(select(_things.c.id).where(condition))
        assert set(rows.scalars()) == {f"d{number}" for number in numbers}


@pytest.mark.parametrize("document", ["null", "[1]", '"bergen"', "7", "", '{"a": '])
def test_what_is_no_object_has_no_values(document: str) -> None:
    assert not carries(document, None, "")
    assert not carries(document, "bergen", "")


def test_a_long_text_is_looked_for_quickly() -> None:
    text = "ab" * 500
    assert re.search(Substring(text).regex, "x" * 10_000 + text.upper())
    assert Substring("(a+)+$").part_in_json() == Substring("a")
    assert Substring("-- 12 abc4 ü").part_in_json() == Substring("abc4")
    assert Substring("°").part_in_json() == Substring("")
