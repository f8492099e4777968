"""Collections: made, filled from vectors and images, emptied, deleted, and always one company's."""

from collections.abc import Awaitable, Callable

import pytest

from opsin import Target
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.collections.collections import (
    MemberChoice,
    NewCollection,
    collection_key,
    read_label_counts,
)
from opsin.core.collections.enrolment import ImageMembers, NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.collections.member_vectors import read_members
from opsin.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TargetNotSupported,
    TooLarge,
    UnknownOperation,
)
from opsin.settings import Settings
from tests.conftest import other_company
from tests.core.house import add_image
from tests.core.labelled import (
    FINGERPRINT,
    VECTOR,
    ColorEmbedding,
    enroll,
    labelled_house,
    members_of,
    new_collection,
    told,
)

# --- collections ----------------------------------------------------------------------------------


async def test_a_collection_knows_how_its_members_are_embedded(
    parts: Parts, principal: Principal
) -> None:
    inputs = [
        NewInput("embed_color", Target.PROMINENT_FACE, params={"normalize": True}),
        NewInput("embed_color"),
    ]
    made = await parts.use_cases.collections.create(
        principal, NewCollection(" 007 ", inputs, description="killer whales")
    )
    assert (made.key, made.name, made.description) == ("7", "7", "killer whales")
    assert made.inputs == [
        {
            "operation": "embed_color",
            "version": "1",
            "target": "prominent_face",
            "face_context": "prominent_person",
            "params": {"normalize": True},
        },
        {
            "operation": "embed_color",
            "version": "1",
            "target": "whole_image",
            "face_context": None,
            "params": {"normalize": False},
        },
    ]
    for written in ("7", "+7", "0007", " 7"):
        assert await parts.use_cases.collections.find(principal, written) == made
    assert await parts.use_cases.collections.every(principal) == [made]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("5", "5"),
        ("-0", "0"),
        ("5.0", "5.0"),
        ("\uff15", "\uff15"),
        (" a b ", "a b"),
        ("1e3", "1e3"),
    ],
)
def test_only_integers_have_several_spellings(text: str, key: str) -> None:
    assert collection_key(text) == key


@pytest.mark.parametrize("text", ["", "  ", "a\x00", "x" * 256, "9" * 300, "\ud800"])
async def test_a_key_that_cannot_be_stored_is_nobodys(
    parts: Parts, principal: Principal, text: str
) -> None:
    with pytest.raises(InvalidInput):
        await new_collection(parts, principal, text)
    assert await parts.use_cases.collections.find(principal, text) is None


async def test_a_key_is_taken_once_in_a_company(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    with pytest.raises(Conflict, match="'whales' already"):
        await new_collection(parts, principal)
    other = await other_company(parts)
    assert (await new_collection(parts, other)).company_id == other.company_id


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ([], InvalidInput),
        ([NewInput("embed_color")] * 2, InvalidInput),
        ([NewInput("embed_color")] * 9, InvalidInput),
        ([NewInput("fake")], InvalidInput),
        ([NewInput("embed_colour")], UnknownOperation),
        ([NewInput("embed_color", params={"target": "whole_image"})], InvalidInput),
        ([NewInput("embed_color", params={"size": 3})], InvalidInput),
    ],
)
async def test_inputs_that_give_no_embedding_are_refused(
    parts: Parts, principal: Principal, inputs: list[NewInput], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await parts.use_cases.collections.create(principal, NewCollection("a", inputs))


async def test_a_target_must_be_one_of_the_operations(
    settings: Settings,
) -> None:
    faces = ColorEmbedding()
    vars(faces).update(targets=(Target.PROMINENT_FACE,), default_target=Target.PROMINENT_FACE)
    async with labelled_house(settings, faces) as parts:
        principal = await parts.use_cases.access.local()
        wanted = [NewInput("embed_color", Target.WHOLE_IMAGE)]
        with pytest.raises(TargetNotSupported):
            await parts.use_cases.collections.create(principal, NewCollection("a", wanted))
        made = await new_collection(parts, principal)
        assert made.inputs[0]["target"] == "prominent_face"


async def test_deleting_takes_members_along(parts: Parts, principal: Principal) -> None:
    made = await new_collection(parts, principal)
    await enroll(parts, principal, [NewMember("a", [VECTOR])])
    assert await parts.use_cases.collections.delete(principal, "whales") == made.id
    assert await parts.use_cases.collections.find(principal, "whales") is None
    async with parts.use_cases.database.read() as connection:
        assert (await read_members(connection, made.id)).ids == ()
    assert await told(parts) == [
        ("collection.created", None),
        ("collection.members_added", 1),
        ("collection.deleted", None),
    ]


# --- removing, and other companies ----------------------------------------------------------------


async def test_members_are_removed_by_id_label_or_source_key(
    parts: Parts, principal: Principal
) -> None:
    await new_collection(parts, principal)
    await enroll(
        parts, principal, [NewMember(label, [VECTOR], f"photo {label}") for label in "abcd"]
    )
    ids = dict(zip("abcd", (await members_of(parts, principal)).ids, strict=True))
    choice = MemberChoice(ids=[ids["a"], "?"], labels=["b"], source_keys=["photo c", "photo x"])
    collection, removed = await parts.use_cases.collections.remove(principal, "whales", choice)
    assert removed == 3
    assert (await members_of(parts, principal)).labels == ("d",)
    unchanged, removed = await parts.use_cases.collections.remove(principal, "whales", choice)
    assert (unchanged, removed) == (collection, 0)
    for nothing in (MemberChoice(), MemberChoice(labels=["\x00"])):
        with pytest.raises(InvalidInput):
            await parts.use_cases.collections.remove(principal, "whales", nothing)
    with pytest.raises(TooLarge):
        await parts.use_cases.collections.remove(
            principal, "whales", MemberChoice(labels=["x"] * 10_001)
        )


async def test_labels_are_counted(parts: Parts, principal: Principal) -> None:
    made = await new_collection(parts, principal)
    empty = await new_collection(parts, principal, "empty")
    await enroll(parts, principal, [NewMember(label, [VECTOR]) for label in "aab"])
    for caller, expected in (
        (principal, {"a": 2, "b": 1}),
        (await other_company(parts), {}),
    ):
        async with parts.use_cases.database.read() as connection:
            counts = await read_label_counts(connection, caller, [made.id, empty.id])
        assert counts == {made.id: expected, empty.id: {}}


async def test_another_company_finds_nothing(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    await enroll(parts, principal, [NewMember("a", [VECTOR])])
    image = await add_image(parts, principal)
    other = await other_company(parts)
    use_cases = parts.use_cases
    assert await use_cases.collections.find(other, "whales") is None
    assert await use_cases.collections.every(other) == []
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: use_cases.collections.get(other, "whales"),
        lambda: use_cases.collections.delete(other, "whales"),
        lambda: use_cases.collections.remove(other, "whales", MemberChoice(labels=["a"])),
        lambda: enroll(parts, other, [NewMember("a", [VECTOR])]),
        lambda: use_cases.enrolment.replace(other, "whales", [], [FINGERPRINT]),
        lambda: use_cases.enrolment.add_images(other, "whales", ImageMembers([image.id], "a")),
        lambda: use_cases.classifiers.train(other, "whales"),
        lambda: use_cases.classifiers.of(other, "whales"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt()
    # Our images cannot be enrolled in their collection either.
    await new_collection(parts, other)
    added = await use_cases.enrolment.add_images(other, "whales", ImageMembers([image.id], "a"))
    assert added.added == 0 and isinstance(added.left_out[0].error, NotFound)
    assert len((await members_of(parts, principal)).ids) == 1
