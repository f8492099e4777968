"""What `opsin classifiers` does with the parts: train one collection after the other, convert."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opsin.assembly import Parts
from opsin.cli.output import new_table, results, say
from opsin.cli.task_texts import read_task
from opsin.core.access import Principal
from opsin.core.classifiers.bake_off import Standing
from opsin.core.classifiers.document import ClassifierDocument
from opsin.core.classifiers.legacy_classifiers import convert_classifier
from opsin.core.classifiers.legacy_pickle import MOST_BYTES
from opsin.core.classifiers.mirroring import Mirror, fingerprint_here
from opsin.core.classifiers.training import TrainingReport
from opsin.core.classifiers.training_source import (
    ACCEPT,
    MAX_BYTES,
    SECONDS,
    SourceCollection,
    TrainingSource,
)
from opsin.core.collections.collections import NewCollection, collection_key
from opsin.core.collections.inputs import NewInput, check_inputs
from opsin.core.errors import InvalidInput, NotFound, OpsinError, reason_of
from opsin.core.fetch import Fetcher
from opsin.core.records import StoredClassifier
from opsin.settings import Settings

HERE = "here"


@dataclass(frozen=True, slots=True)
class Trained:
    """A collection, and its report or why there is none; rows of a source that were left out."""

    key: str
    answer: TrainingReport | OpsinError
    left_out: dict[str, int]


async def train_each(
    settings: Settings,
    parts: Parts,
    principal: Principal,
    keys: Sequence[str],
    source: str | None,
    fingerprints: Sequence[str],
) -> list[Trained]:
    """Train on one collection after the other; one that fails does not stop the others."""
    use_cases = parts.use_cases
    if source is None:
        named = list(keys) or [one.key for one in await use_cases.collections.every(principal)]
        return [await _train(parts, principal, key) for key in named]
    fetcher = Fetcher(
        max_bytes=MAX_BYTES,
        timeout=SECONDS,
        allow=settings.fetch_allow,
        accept=ACCEPT,
        plain_http=False,
    )
    try:
        known = await read_fingerprints(parts, fingerprints)
        there = TrainingSource(source, fetcher)
        listed, refused = await there.collections()
        for reason in refused:
            say(reason)
        chosen = _chosen(listed, keys)
        mirror = Mirror(use_cases.collections, use_cases.enrolment, use_cases.host)
        trained: list[Trained] = []
        for key, collection in chosen.items():
            if collection is None:
                error = NotFound("the source lists no such collection")
                trained.append(Trained(key, error, {}))
                continue
            try:
                _, left_out = await mirror.take_in(principal, there, collection, known)
            except OpsinError as error:
                trained.append(Trained(key, error, {}))
                continue
            trained.append(await _train(parts, principal, key, left_out))
        return trained
    finally:
        fetcher.close()


def _chosen(
    listed: Sequence[SourceCollection], keys: Sequence[str]
) -> dict[str, SourceCollection | None]:
    by_key = {collection_key(one.key): one for one in listed}
    if not keys:
        return dict(by_key)
    return {key: by_key.get(collection_key(key)) for key in keys}


async def _train(
    parts: Parts, principal: Principal, key: str, left_out: dict[str, int] | None = None
) -> Trained:
    try:
        report = await parts.use_cases.classifiers.train(principal, key)
    except OpsinError as error:
        return Trained(key, error, left_out or {})
    return Trained(key, report, left_out or {})


async def read_fingerprints(parts: Parts, given: Sequence[str]) -> dict[str, str]:
    """OPERATION=SHA256 as a fingerprint by operation; `here` is that of the weights here."""
    known: dict[str, str] = {}
    for text in given:
        operation, equals, fingerprint = text.partition("=")
        operation, fingerprint = operation.strip(), fingerprint.strip()
        if not equals or not fingerprint:
            raise InvalidInput(f"--fingerprint {text!r} is not OPERATION=SHA256")
        host = parts.use_cases.host
        host.operation(operation)  # says what is near, when there is no such operation
        if fingerprint == HERE:
            fingerprint = await fingerprint_here(host, parts.models, operation)
        known[operation] = fingerprint
    return known


async def converted(
    parts: Parts, file: Path, inputs: Sequence[str], fingerprints: Sequence[str]
) -> ClassifierDocument:
    """The document of a pickled classifier that was made for these inputs."""
    host = parts.use_cases.host
    wanted: list[NewInput] = []
    for text in inputs:
        task = read_task(host, text)
        params = task.params.model_dump(exclude={"target", "face_context"}, exclude_unset=True)
        face_context = (
            task.params.face_context if "face_context" in task.params.model_fields_set else None
        )
        wanted.append(NewInput(task.operation.name, task.params.target, face_context, params))
    checked = check_inputs(host, wanted, open_target=True)
    known = await read_fingerprints(parts, fingerprints)
    for one in checked:
        if one.operation not in known:
            raise InvalidInput(
                f"the file does not say which weights of {one.operation} it was trained on: "
                f"--fingerprint {one.operation}=SHA256, or ={HERE} for those on this machine"
            )
    content = await asyncio.to_thread(_read, file)
    models = [known[one.operation] for one in checked]
    return await asyncio.to_thread(convert_classifier, content, checked, models)


async def keep(
    parts: Parts, principal: Principal, key: str, document: ClassifierDocument
) -> StoredClassifier:
    """Keep a converted classifier in a collection, made for it when it is not there."""
    use_cases = parts.use_cases
    if await use_cases.collections.find(principal, key) is None:
        inputs = [
            NewInput(one.operation, one.target, one.face_context, one.params)
            for one in document.inputs
        ]
        new = NewCollection(key, inputs, open_targets=True)
        await use_cases.collections.create(principal, new)
    return await use_cases.classifiers.keep(principal, key, document)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {reason_of(error)}") from None


def described(trained: Trained) -> dict[str, Any]:
    """One collection of the JSON document."""
    answer = trained.answer
    if isinstance(answer, OpsinError):
        return {
            "key": trained.key,
            "error": {"code": answer.code, "message": answer.message},
            "left_out_of_source": trained.left_out,
        }
    return {
        "key": trained.key,
        "error": None,
        "classifier": answer.new.candidate.digest,
        "best": answer.best.candidate.digest,
        "members": answer.members,
        "trained": answer.trained,
        "held_out": answer.held_out,
        "left_out": answer.left_out,
        "left_out_of_source": trained.left_out,
        "standings": [_standing(one) for one in answer.standings],
    }


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "classifier": one.candidate.digest,
        "created_at": one.candidate.created_at,
        "rank": one.rank,
        "score": None if one.score is None else asdict(one.score),
        "note": one.note,
        "kept": one.is_kept,
    }


def print_trained(trained: Sequence[Trained]) -> None:
    """A line for each collection, below it what was left out and why."""
    table = new_table("Collection", "Trained on", "Held out", "Precision", "Accuracy", "Rank")
    told: list[str] = []
    for one in trained:
        answer = one.answer
        if isinstance(answer, OpsinError):
            table.add_row(one.key, "", "", "", "", "not trained")
            told.append(f"{one.key}: {answer.message}")
        else:
            score = answer.new.score
            assert score is not None  # nothing that is held out was trained on
            table.add_row(
                one.key,
                _counts(answer.trained),
                _counts(answer.held_out),
                f"{score.precision:.4f}",
                f"{score.accuracy:.4f}",
                f"{answer.new.rank} of {len(answer.standings)}",
            )
        left_out = dict(one.left_out)
        if isinstance(answer, TrainingReport):
            left_out |= answer.left_out
        told += [f"{one.key}: left out {count}: {reason}" for reason, count in left_out.items()]
    console = results()
    console.print(table)
    for line in told:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
