"""Members taken in: from vectors, all or none; from images, those that can be embedded."""

import math
import struct

import pytest

from opsin import Target
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.collections.collections import (
    MemberChoice,
    NewCollection,
)
from opsin.core.collections.enrolment import ImageMembers, NewMember
from opsin.core.collections.inputs import NewInput
from opsin.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    TooLarge,
)
from opsin.core.testing import FakeFinder
from opsin.settings import Settings
from tests.core.given_plugins import given
from tests.core.house import add_image, ask
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
from tests.pictures import solid_png

# --- members from vectors -------------------------------------------------------------------------


async def test_vectors_are_joined_and_kept_as_float32(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal, "pair", "embed_color", "embed_other")
    added = await parts.use_cases.enrolment.add_vectors(
        principal,
        "pair",
        [NewMember("a", [VECTOR, struct.pack("<2f", 0.1, 7)], "photo 1", {"species": "orca"})],
        ["1" * 64, "2" * 64],
    )
    assert added.added == 1
    found = await members_of(parts, principal, "pair")
    assert found.vectors.tolist() == [[0.25, 0.5, 0.75, 1.0, 0.10000000149011612, 7.0]]
    assert found.vectors.dtype == "float32" and not found.vectors.flags.writeable
    assert (found.labels, found.source_keys) == (("a",), ("photo 1",))
    assert found.attributes == ({"species": "orca"},)
    assert found.fingerprints == ("1" * 64, "2" * 64)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (NewMember("a", [[1.0, math.nan]]), "finite"),
        (NewMember("a", [[1.0, math.inf]]), "finite"),
        (NewMember("a", [[1.0, 1e39]]), "finite"),
        (NewMember("a", [[0.0, 0.0]]), "zeros"),
        (NewMember("a", [[1e-60]]), "zeros"),
        (NewMember("a", [[]]), "1 to"),
        (NewMember("a", []), "one for each input"),
        (NewMember("a", [VECTOR, VECTOR]), "one for each input"),
        (NewMember("a", [["x"]]), "numbers"),  # type: ignore[list-item]  # as a caller may send it
        (NewMember("a", [[True]]), "numbers"),
        (NewMember("a", [b"\0\0\0"]), "numbers"),
        (NewMember("a", [b"\0\0\xc0\x7f"]), "finite"),
        (NewMember("a", [[10**400]]), "numbers"),
        (NewMember("a", [[VECTOR]]), "numbers"),  # type: ignore[list-item]  # likewise
        (NewMember("", [VECTOR]), "label"),
        (NewMember("a\x00", [VECTOR]), "label"),
        (NewMember("a", [VECTOR], ""), "source key"),
        (NewMember("a", [VECTOR], attributes={"x": math.nan}), "attributes"),
        (NewMember("a", [VECTOR], attributes=[]), "attributes"),  # type: ignore[arg-type]  # likewise
    ],
)
async def test_one_bad_member_refuses_all(
    parts: Parts, principal: Principal, member: NewMember, reason: str
) -> None:
    await new_collection(parts, principal)
    with pytest.raises(InvalidInput, match=f"member 1: .*{reason}"):
        await enroll(parts, principal, [NewMember("a", [VECTOR]), member])
    assert (await members_of(parts, principal)).ids == ()


async def test_members_are_of_one_model_and_one_length(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    with pytest.raises(Conflict, match="4 numbers, a new one has 1"):
        await enroll(parts, principal, [NewMember("a", [VECTOR]), NewMember("b", [[1.0]])])
    await enroll(parts, principal, [NewMember("a", [VECTOR])])
    with pytest.raises(Conflict, match="4 numbers, a new one has 3"):
        await enroll(parts, principal, [NewMember("b", [VECTOR[:3]])])
    with pytest.raises(Conflict, match=r"other weights of embed_color.*cccccccccccc.*eeee"):
        await enroll(parts, principal, [NewMember("b", [VECTOR])], fingerprint="e" * 64)
    for wrong in ([], [FINGERPRINT] * 2, [""], ["f" * 65]):
        with pytest.raises(InvalidInput, match="fingerprint"):
            await parts.use_cases.enrolment.add_vectors(
                principal, "whales", [NewMember("b", [VECTOR])], wrong
            )
    assert (await members_of(parts, principal)).labels == ("a",)
    # Once the last one is gone, other models may come.
    await parts.use_cases.collections.remove(principal, "whales", MemberChoice(labels=["a"]))
    await enroll(parts, principal, [NewMember("b", [VECTOR])], fingerprint="e" * 64)


async def test_how_many_at_once_is_limited(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    for members in ([], [NewMember("a", [VECTOR])] * 1001):
        with pytest.raises(TooLarge):
            await enroll(parts, principal, members)
    for ids in ([], [f"{n:032x}" for n in range(1001)]):
        with pytest.raises(TooLarge):
            await parts.use_cases.enrolment.add_images(principal, "whales", ImageMembers(ids, "a"))
    many = [NewMember("a", [VECTOR])] * 2500
    await parts.use_cases.enrolment.replace(principal, "whales", many, [FINGERPRINT])
    assert len((await members_of(parts, principal)).ids) == 2500


async def test_replacing_changes_what_differs(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    one, two = NewMember("a", [VECTOR], "1"), NewMember("b", [VECTOR], "2")
    await enroll(parts, principal, [one, one, two])
    before = await members_of(parts, principal)
    relabelled = NewMember("a", [VECTOR], "2")
    replaced = await parts.use_cases.enrolment.replace(
        principal, "whales", [one, relabelled], [FINGERPRINT]
    )
    after = await members_of(parts, principal)
    assert replaced.added == 1
    assert list(zip(after.labels, after.source_keys, strict=True)) == [("a", "1"), ("a", "2")]
    assert after.ids[0] == before.ids[0] and after.ids[1] not in before.ids
    assert (await told(parts))[-2:] == [
        ("collection.members_removed", 2),
        ("collection.members_added", 1),
    ]
    unchanged = await parts.use_cases.enrolment.replace(
        principal, "whales", [relabelled, one], [FINGERPRINT]
    )
    assert unchanged.added == 0
    assert unchanged.collection.updated_at == replaced.collection.updated_at


# --- members from images --------------------------------------------------------------------------


async def test_images_are_embedded_as_the_collection_says(
    parts: Parts, principal: Principal, color: ColorEmbedding
) -> None:
    await new_collection(parts, principal)
    red, blue = [
        await add_image(parts, principal, solid_png(4, 4, rgb))
        for rgb in ((255, 0, 0), (0, 0, 255))
    ]
    gone = "01890000-0000-7000-8000-000000000000"
    added = await parts.use_cases.enrolment.add_images(
        principal, "whales", ImageMembers([red.id, gone, blue.id, red.id, "?"], "a", {"x": 1})
    )
    assert added.added == 2
    assert [(one.image_id, type(one.error)) for one in added.left_out] == [
        (gone, NotFound),
        ("?", NotFound),
    ]
    found = await members_of(parts, principal)
    assert sorted(found.vectors.tolist()) == [[0.0, 0.0, 1.0, 0.5], [1.0, 0.0, 0.0, 0.5]]
    assert found.fingerprints == (FINGERPRINT,)
    assert found.attributes == ({"x": 1}, {"x": 1})
    again = await parts.use_cases.enrolment.add_images(
        principal, "whales", ImageMembers([red.id], "a")
    )
    assert again.added == 0
    assert "already" in again.left_out[0].error.message
    assert color.seen == 2
    other_label = ImageMembers([red.id], "b")
    assert (await parts.use_cases.enrolment.add_images(principal, "whales", other_label)).added == 1


async def test_a_stored_embedding_is_used_when_it_is_the_same(
    parts: Parts, principal: Principal, color: ColorEmbedding
) -> None:
    await new_collection(parts, principal)
    images = [await add_image(parts, principal, solid_png(4, 4, (n, 0, 0))) for n in range(1, 5)]
    first, plain, normalized, foreign = images
    add = parts.use_cases.enrolment.add_images
    await add(principal, "whales", ImageMembers([first.id], "a"))
    await ask(parts, principal, plain, "embed_color")
    await ask(parts, principal, normalized, "embed_color", normalize=True)
    await ask(parts, principal, foreign, "embed_other")
    await parts.worker.drain()
    seen = color.seen
    added = await add(principal, "whales", ImageMembers([plain.id, normalized.id, foreign.id], "a"))
    assert added.added == 3
    assert color.seen == seen + 2
    found = await members_of(parts, principal)
    assert sorted(row[0] for row in found.vectors.tolist()) == pytest.approx(
        [n / 255 for n in range(1, 5)]
    )


async def test_an_image_without_a_face_is_left_out(settings: Settings) -> None:
    finder = FakeFinder(Target.PROMINENT_FACE, None)
    source = given(ColorEmbedding(), finders=[finder])
    house = assemble(settings.model_copy(update={"disabled_plugins": ("bbox",)}), [source])
    async with house.running() as parts:
        principal = await parts.use_cases.access.local()
        inputs = [NewInput("embed_color", Target.PROMINENT_FACE)]
        await parts.use_cases.collections.create(principal, NewCollection("faces", inputs))
        image = await add_image(parts, principal)
        added = await parts.use_cases.enrolment.add_images(
            principal, "faces", ImageMembers([image.id], "Ada")
        )
        assert added.added == 0
        (left_out,) = added.left_out
        assert left_out.error.message == "No prominent face found for operation 'embed_color'."


async def test_other_weights_than_the_members_are_a_conflict(
    parts: Parts, principal: Principal
) -> None:
    await new_collection(parts, principal)
    await enroll(parts, principal, [NewMember("a", [VECTOR])], fingerprint="e" * 64)
    image = await add_image(parts, principal)
    with pytest.raises(Conflict, match="other weights"):
        await parts.use_cases.enrolment.add_images(
            principal, "whales", ImageMembers([image.id], "a")
        )
    assert len((await members_of(parts, principal)).ids) == 1


async def test_another_version_of_the_operation_embeds_no_more(
    settings: Settings, any_database_url: str
) -> None:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        await new_collection(parts, principal)
        image = await add_image(parts, principal)
    changed = ColorEmbedding(version="2")
    async with labelled_house(settings, changed, database_url=any_database_url) as parts:
        with pytest.raises(Conflict, match="version 2 here"):
            await parts.use_cases.enrolment.add_images(
                principal, "whales", ImageMembers([image.id], "a")
            )


async def test_deleting_an_image_keeps_its_embedding(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)
    image = await add_image(parts, principal)
    await parts.use_cases.enrolment.add_images(principal, "whales", ImageMembers([image.id], "a"))
    await parts.use_cases.images.delete(principal, image.id)
    assert len((await members_of(parts, principal)).ids) == 1
