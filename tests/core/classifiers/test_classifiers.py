"""Classifiers: trained as documented, compared on rows they do not know, ten of them kept."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, precision_score
from sklearn.model_selection import train_test_split
from sqlalchemy import select, update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.classifiers import classifiers as classifiers_module
from opsin.core.classifiers import training as training_module
from opsin.core.classifiers.bake_off import OTHER_VECTORS, SEEN_ROWS, TIED, UNKNOWN_ROWS
from opsin.core.classifiers.document import ClassifierDocument, digest_of, read_document
from opsin.core.classifiers.training import CONTRADICTED, REPEATED
from opsin.core.collections.collections import MemberChoice
from opsin.core.collections.enrolment import NewMember
from opsin.core.collections.member_vectors import Members, read_members
from opsin.core.errors import Conflict, NotFound, StorageError
from opsin.settings import Settings
from opsin.storage.tables import classifiers, events
from tests.core.labelled import FINGERPRINT, enroll, labelled_house, new_collection, two_classes


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    async with labelled_house(settings, database_url=any_database_url) as parts:
        yield parts


@pytest.fixture(autouse=True)
async def collection(parts: Parts, principal: Principal) -> None:
    await new_collection(parts, principal)


async def train(parts: Parts, principal: Principal) -> Any:
    return await parts.use_cases.classifiers.train(principal, "whales")


async def documents(parts: Parts) -> list[tuple[Any, ClassifierDocument]]:
    """The stored rows with their documents, oldest first."""
    async with parts.use_cases.database.read() as connection:
        rows = await connection.execute(select(classifiers).order_by(classifiers.c.id))
        return [(row, read_document(row.document, row.digest)) for row in rows]


async def members(parts: Parts, principal: Principal) -> Members:
    collection = await parts.use_cases.collections.get(principal, "whales")
    async with parts.use_cases.database.read() as connection:
        return await read_members(connection, collection.id)


def recipe(vectors: Any, truth: Any) -> tuple[LogisticRegression, Any, Any]:
    """The documented training, written with scikit-learn alone."""
    x_train, x_test, y_train, y_test = train_test_split(
        vectors, truth, test_size=0.2, stratify=truth, random_state=42
    )
    model = LogisticRegression(
        class_weight="balanced", C=0.1, solver="liblinear", random_state=42
    ).fit(x_train, y_train)
    return model, x_test, y_test


async def test_it_is_the_documented_training(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(60, gap=0.7))
    report = await train(parts, principal)
    stored = await members(parts, principal)
    truth = np.array([label == "true" for label in stored.labels])
    model, x_test, y_test = recipe(stored.vectors, truth)
    ((row, document),) = await documents(parts)
    assert document.coefficients == tuple(model.coef_[0])
    assert document.intercept == model.intercept_[0]
    decided = model.predict(x_test)
    assert document.decide(x_test).tolist() == decided.tolist()
    assert report.new.score.precision == precision_score(y_test, decided, average="macro")
    assert report.new.score.accuracy == accuracy_score(y_test, decided)
    assert 0.5 < report.new.score.accuracy < 1  # neither trivial nor hopeless
    assert report.members == {"true": 60, "false": 60}
    assert (report.trained, report.held_out) == (
        {"true": 48, "false": 48},
        {"true": 12, "false": 12},
    )
    assert report.new is report.best and report.new.rank == 1
    assert row.is_best and row.score == report.new.score.precision
    assert row.metrics["accuracy"] == report.new.score.accuracy
    assert document.fingerprints == (FINGERPRINT,)
    assert document.inputs[0].operation == "embed_color"
    assert document.training.library.startswith("scikit-learn ")
    assert document.training.parameters == {
        "C": 0.1,
        "class_weight": "balanced",
        "solver": "liblinear",
        "random_state": 42,
        "held_out": 0.2,
    }
    assert len(document.training.seen or ()) == 96


async def test_unequal_classes_are_balanced(parts: Parts, principal: Principal) -> None:
    given = [m for m in two_classes(50, gap=1) if m.label == "false"]
    given += [m for m in two_classes(50, gap=1) if m.label == "true"][:10]
    await enroll(parts, principal, given)
    report = await train(parts, principal)
    assert report.held_out == {"true": 2, "false": 10}
    stored = await members(parts, principal)
    model, *_ = recipe(stored.vectors, np.array([label == "true" for label in stored.labels]))
    ((_, document),) = await documents(parts)
    assert document.coefficients == tuple(model.coef_[0])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "0 'true' and 0 'false'"),
        ([m for m in two_classes(9) if m.label == "true"], "9 'true' and 0 'false'"),
        ([*two_classes(5)[:5], two_classes(5)[9]], "5 'true' and 1 'false'"),
        (two_classes(2), "too few members to hold some of each label out"),
        ([NewMember("Ada", [[1.0]]), NewMember("Bob", [[2.0]])], "'Ada', 'Bob'"),
        ([NewMember(label, [[1.0]]) for label in "vwxyz"], "'v', 'w', 'x', ..."),
        ([NewMember("True", [[1.0]]), NewMember("false", [[2.0]])], "'True'"),
    ],
)
async def test_what_does_not_suffice_is_said(
    parts: Parts, principal: Principal, given: Sequence[NewMember], reason: str
) -> None:
    if given:
        await enroll(parts, principal, given)
    with pytest.raises(Conflict, match=reason):
        await train(parts, principal)
    assert await documents(parts) == []
    with pytest.raises(NotFound):
        await parts.use_cases.classifiers.train(principal, "nothing")


async def test_rows_that_are_there_twice_count_once(parts: Parts, principal: Principal) -> None:
    given = two_classes(20)
    both = NewMember("false", given[0].vectors)  # given[0] is labelled true
    await enroll(parts, principal, [*given, given[1], given[1], both])
    report = await train(parts, principal)
    assert report.left_out == {REPEATED: 2, CONTRADICTED: 2}
    assert report.members == {"true": 22, "false": 21}
    trained = sum(report.trained.values()) + sum(report.held_out.values())
    assert trained == 43 - 4


async def test_training_again_on_the_same_members_replaces(
    parts: Parts, principal: Principal
) -> None:
    await enroll(parts, principal, two_classes(20))
    first, second = await train(parts, principal), await train(parts, principal)
    assert first.new.candidate.digest == second.new.candidate.digest
    ((row, _),) = await documents(parts)
    assert row.id == second.new.candidate.id


async def test_an_older_one_is_scored_on_rows_it_does_not_know(
    parts: Parts, principal: Principal
) -> None:
    await enroll(parts, principal, two_classes(60, gap=0.8))
    first = await train(parts, principal)
    await enroll(parts, principal, two_classes(60, gap=0.8, seed=1, first=1000))
    second = await train(parts, principal)
    (old,) = [one for one in second.standings if one.candidate.id == first.new.candidate.id]
    stored = await members(parts, principal)
    truth = np.array([label == "true" for label in stored.labels])
    _, x_test, y_test = recipe(stored.vectors, truth)
    known = {m.tobytes() for m in await known_rows(parts, principal, first)}
    fresh = np.array([row.tobytes() not in known for row in x_test])
    assert 20 <= fresh.sum() < len(x_test)  # some of them are known, enough are not
    decided = first.new.candidate.document.decide(x_test[fresh])
    assert old.score.rows == fresh.sum()
    assert old.score.precision == precision_score(y_test[fresh], decided, average="macro")
    assert second.new.score.rows == len(x_test)
    listed = await parts.use_cases.classifiers.of(principal, "whales")
    assert [one.score for one in listed] == [
        second.new.score.precision,
        old.score.precision,
    ]
    assert [one.is_best for one in listed].count(True) == 1


async def known_rows(parts: Parts, principal: Principal, report: Any) -> list[Any]:
    """The rows the first training was trained on, found again by the recipe."""
    stored = await members(parts, principal)
    count = sum(report.members.values())
    truth = np.array([label == "true" for label in stored.labels[:count]])
    trained, _ = train_test_split(
        stored.vectors[:count], test_size=0.2, stratify=truth, random_state=42
    )
    return list(trained)


async def test_without_unknown_rows_there_is_no_score(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(20))
    await train(parts, principal)
    more = two_classes(1, seed=5, first=500)
    await enroll(parts, principal, more)
    report = await train(parts, principal)
    old = report.standings[1]
    assert (old.score, old.note, old.rank) == (None, SEEN_ROWS, 2)
    listed = await parts.use_cases.classifiers.of(principal, "whales")
    assert [(one.is_best, one.score is None) for one in listed] == [(True, False), (False, True)]


async def test_of_equal_ones_the_newest_is_best(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(60, gap=6))
    await train(parts, principal)
    await enroll(parts, principal, two_classes(60, gap=6, seed=1))
    report = await train(parts, principal)
    assert [one.score.precision for one in report.standings] == [1.0, 1.0]
    assert report.best is report.new
    assert [one.note for one in report.standings] == [None, TIED]


async def test_a_better_older_one_stays_the_best(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(100, gap=0.5, seed=10))
    await train(parts, principal)
    ((_, document),) = await documents(parts)
    # The labels differ in the sum of all numbers, which a training on few rows finds but roughly.
    training = document.training.model_copy(update={"seen": ()})
    ideal = document.model_copy(
        update={"coefficients": (1.0,) * 8, "intercept": 0.0, "training": training}
    )
    await parts.use_cases.classifiers.keep(principal, "whales", ideal)
    await enroll(parts, principal, two_classes(5, gap=0.5, seed=110, first=500))
    report = await train(parts, principal)
    best = report.best
    assert best.candidate.document == ideal and report.new.rank and report.new.rank > 1
    assert best.score and best.score.precision > report.new.score.precision
    rows = {row.id: row for row, _ in await documents(parts)}
    assert [row.id for row in rows.values() if row.is_best] == [best.candidate.id]
    assert rows[report.new.candidate.id].metrics["rank"] == report.new.rank


async def test_ten_are_kept(parts: Parts, principal: Principal) -> None:
    digests = []
    for number in range(12):
        await enroll(parts, principal, two_classes(15, gap=6, seed=number, first=100 * number))
        digests.append((await train(parts, principal)).new.candidate.digest)
    listed = await parts.use_cases.classifiers.of(principal, "whales")
    assert len(set(digests)) == 12
    assert len(listed) == 10
    assert [one.is_best for one in listed] == [True] + [False] * 9
    # All are perfect or unscored: the oldest ones went.
    assert listed[0].digest == digests[-1]
    assert digests[0] not in {one.digest for one in listed}


async def test_other_models_are_not_compared(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(20))
    await train(parts, principal)
    await parts.use_cases.collections.remove(
        principal, "whales", MemberChoice(labels=["true", "false"])
    )
    await enroll(parts, principal, two_classes(20), fingerprint="e" * 64)
    report = await train(parts, principal)
    assert [(one.rank, one.note) for one in report.standings] == [(1, None), (None, OTHER_VECTORS)]
    listed = await parts.use_cases.classifiers.of(principal, "whales")
    assert [one.is_best for one in listed] == [True, False]


async def test_a_classifier_of_unknown_training_ranks_last(
    parts: Parts, principal: Principal
) -> None:
    await enroll(parts, principal, two_classes(20))
    await train(parts, principal)
    ((_, document),) = await documents(parts)
    training = document.training.model_copy(update={"seen": None})
    foreign = document.model_copy(update={"training": training, "intercept": 0.125})
    kept = await parts.use_cases.classifiers.keep(principal, "whales", foreign)
    assert not kept.is_best and kept.score is None
    again = await parts.use_cases.classifiers.keep(principal, "whales", foreign)
    assert again.id == kept.id
    report = await train(parts, principal)
    assert report.standings[-1].note == UNKNOWN_ROWS and report.standings[-1].rank == 2


async def test_the_first_one_that_is_brought_along_is_the_best(
    parts: Parts, principal: Principal
) -> None:
    await new_collection(parts, principal, "other")
    await enroll(parts, principal, two_classes(20))
    await train(parts, principal)
    ((_, document),) = await documents(parts)
    kept = await parts.use_cases.classifiers.keep(principal, "other", document)
    assert kept.is_best
    changed = document.inputs[0].model_copy(update={"params": {"normalize": True}})
    with pytest.raises(Conflict, match="other inputs"):
        await parts.use_cases.classifiers.keep(
            principal, "other", document.model_copy(update={"inputs": (changed,)})
        )


async def test_a_damaged_classifier_stops_no_training(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(20))
    await train(parts, principal)
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(
            update(classifiers).values(document=classifiers.c.document + " ")
        )
    with pytest.raises(StorageError, match="damaged"):
        await documents(parts)
    report = await train(parts, principal)
    assert report.best is report.new and len(report.standings) == 1
    listed = await parts.use_cases.classifiers.of(principal, "whales")
    assert [one.is_best for one in listed] == [True, False]


async def test_two_trainings_at_once_do_not_lose_each_other(
    parts: Parts, principal: Principal
) -> None:
    await enroll(parts, principal, two_classes(20))
    results = await asyncio.gather(
        *[train(parts, principal) for _ in range(3)], return_exceptions=True
    )
    ended: list[Any] = [one for one in results if not isinstance(one, Conflict)]
    assert ended and not any(isinstance(one, BaseException) for one in ended)
    ((row, _),) = await documents(parts)
    assert row.is_best and row.id in {one.new.candidate.id for one in ended}


async def test_the_loop_goes_on_while_it_trains(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enroll(parts, principal, two_classes(20))
    original = training_module.train

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.3)
        return original(*arguments)

    monkeypatch.setattr(classifiers_module, "train", slowly)
    training = asyncio.create_task(train(parts, principal))
    turns = 0
    while not training.done():
        await asyncio.sleep(0.01)
        turns += 1
    await training
    assert turns > 10


async def test_a_training_is_told_of(parts: Parts, principal: Principal) -> None:
    await enroll(parts, principal, two_classes(20))
    report = await train(parts, principal)
    statement = select(events.c.data).where(events.c.kind == "classifier.trained")
    async with parts.use_cases.database.read() as connection:
        (data,) = (await connection.execute(statement)).scalars()
    digest = report.new.candidate.digest
    assert data == {
        "collection_id": report.collection.id,
        "key": "whales",
        "digest": digest,
        "best": digest,
    }
    ((row, document),) = await documents(parts)
    assert row.digest == digest_of(document.as_text()) == digest_of(row.document)
