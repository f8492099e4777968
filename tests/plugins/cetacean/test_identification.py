"""The whole pipeline on small checkpoints: what it answers in each case."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opsin import Embedding, EmbeddingParams, Gallery, Input, Item, OperationFailed, Picture
from opsin.core.conformance import Verdict, check_plugin
from opsin.core.contract import (
    Reference,
    ReferenceKind,
    ReferenceRequest,
)
from opsin.core.models.store import ModelStore
from opsin.plugins.cetacean.results import (
    EMBED,
    IDENTIFY,
    SCREEN,
    CetaceanIdentification,
    CetaceanMatch,
    CetaceanRejection,
)
from opsin.plugins.cetacean.runner.animals import fingerprint
from tests.plugins.cetacean.making import (
    asked,
    context_of,
    discover,
    embedder,
    gallery_of,
    gate,
    load,
    manifest,
    operation,
    pictures,
    prototypes,
    save_embedder,
    save_gate,
    save_prototypes,
)
from tests.plugins.running import Shared, embeddings, results

pytestmark = pytest.mark.timeout(600)

NAMES = ("0a1e", "12e5", "77b0", "c3c3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whales")
    save_gate(folder)
    save_embedder(folder)
    torch.manual_seed(5)
    save_prototypes(folder, NAMES, torch.randn(4, 32), dict.fromkeys(NAMES[:3], "beluga"))
    return folder


@pytest.fixture(scope="module")
def given() -> list[Picture]:
    return pictures(4)


def identify(
    file: Path, given: list[Picture], gallery: Reference | None = None, **more: Any
) -> list[CetaceanIdentification]:
    params = asked(gallery.collection if gallery else None, **more)
    items = [Item(picture, params, reference=gallery) for picture in given]
    return list(results(load(file, IDENTIFY), items))


def enrolled(file: Path, given: list[Picture], labels: list[str], **attributes: Any) -> Gallery:
    """A gallery of these pictures, as the embedding operation makes it."""
    one = operation(file, EMBED)
    vectors = embeddings(load(file, EMBED), given)
    known = fingerprint(context_of(one, file.parent))
    return gallery_of(vectors, labels, known, attributes)


# --- the gate -------------------------------------------------------------------------------------


def test_only_what_passes_the_gate_is_embedded(folder: Path, given: list[Picture]) -> None:
    closed = manifest(folder, gate=gate(threshold=0.0), prototypes=prototypes())
    scores = [one.cetacean_score for one in identify(closed, given)]
    assert None not in scores and len(set(scores)) == 4
    middle = sorted(score for score in scores if score is not None)[2]
    file = manifest(folder, gate=gate(threshold=middle), prototypes=prototypes())
    runner = load(file, IDENTIFY)
    embedded: list[int] = []
    whole = runner._animals._embedder.embed

    def counted(pixels: Any) -> torch.Tensor:
        embedded.append(len(pixels))
        vectors: torch.Tensor = whole(pixels)
        return vectors

    runner._animals._embedder.embed = counted
    found = results(runner, [Item(picture, asked()) for picture in given])
    assert embedded == [2]
    for one, score in zip(found, scores, strict=True):
        assert one.cetacean_score == pytest.approx(score, abs=1e-5)
        assert one.is_cetacean is (one.cetacean_score >= middle)
        if one.is_cetacean:
            assert not one.rejected and one.individual in NAMES
            continue
        assert one.rejected and one.rejection_reason is CetaceanRejection.NOT_A_MARINE_MAMMAL
        assert (one.individual, one.species, one.probability, one.cosine) == (None,) * 4
        assert (one.candidates, one.box, one.matched_by) == ((), None, CetaceanMatch.NOTHING)
        (annotation,) = one.annotations()
        assert annotation.class_name == "other"


def test_nothing_passes(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, gate=gate(threshold=1.0), prototypes=prototypes())
    assert all(one.rejected for one in identify(file, given))


def test_without_a_gate_nobody_says_whether_it_is_one(folder: Path, given: list[Picture]) -> None:
    found = identify(manifest(folder, prototypes=prototypes()), given)
    assert {(one.is_cetacean, one.cetacean_score) for one in found} == {(None, None)}
    assert all(not one.rejected for one in found)


# --- prototypes -----------------------------------------------------------------------------------


def test_candidates_and_annotations(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, gate=gate(threshold=0.0), prototypes=prototypes())
    for one in identify(file, given, candidates=3):
        assert [candidate.rank for candidate in one.candidates] == [1, 2, 3]
        best = one.candidates[0]
        assert (one.individual, one.species) == (best.individual, best.species)
        assert (one.probability, one.cosine) == (best.probability, best.cosine)
        assert (best.species is None) is (best.individual == "c3c3")
        assert one.matched_by is CetaceanMatch.PROTOTYPES and one.new_individual is None
        screened, classified = one.annotations()
        assert screened.class_name == "cetacean"
        assert (classified.class_name, classified.confidence) == (one.individual, one.probability)
    everybody = identify(file, given[:1], candidates=9)[0].candidates
    assert sum(candidate.probability for candidate in everybody) == pytest.approx(1)


def test_low_confidence_keeps_the_nearest(folder: Path, given: list[Picture]) -> None:
    sure = prototypes(open_set={"min_probability": 1.0}, scale=0.5)
    (one,) = identify(manifest(folder, prototypes=sure), given[:1])
    assert one.rejected and one.rejection_reason is CetaceanRejection.LOW_CONFIDENCE
    assert one.individual in NAMES and one.new_individual is None and len(one.candidates) == 4
    assert one.annotations() == ()
    near = prototypes(open_set={"min_cosine": 0.99})
    (one,) = identify(manifest(folder, prototypes=near), given[:1])
    assert one.rejected and one.new_individual is True and one.individual in NAMES


# --- galleries ------------------------------------------------------------------------------------


def test_a_picture_is_found_in_the_gallery_it_is_in(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, gallery={"open_set": {"min_cosine": 0.999}})
    gallery = enrolled(file, given[:3], ["Ivory", "Ebony", "Ivory"], Ebony={"species": "orca"})
    found = identify(file, given, gallery)
    assert [one.individual for one in found[:3]] == ["Ivory", "Ebony", "Ivory"]
    assert [one.cosine for one in found[:3]] == pytest.approx([1, 1, 1], abs=1e-5)
    assert [one.species for one in found[:3]] == [None, "orca", None]
    assert [one.new_individual for one in found] == [False, False, False, True]
    assert found[3].rejection_reason is CetaceanRejection.LOW_CONFIDENCE
    assert {one.matched_by for one in found} == {CetaceanMatch.GALLERY}


def test_enrolling_somebody_takes_no_training(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder)
    before = enrolled(file, given[:2], ["Ivory", "Ebony"])
    after = enrolled(file, given[:3], ["Ivory", "Ebony", "Coral"])
    runner = load(file, IDENTIFY)
    params = asked("pod")

    def nearest(gallery: Gallery) -> str | None:
        (one,) = results(runner, [Item(given[2], params, reference=gallery)])
        assert isinstance(one, CetaceanIdentification)
        return one.individual

    assert nearest(before) != "Coral"
    changed = gallery_of(after.vectors, after.labels, after.fingerprints[0], digest="2")
    assert nearest(changed) == "Coral"
    assert nearest(before) != "Coral", "removed again"


def test_galleries_of_one_batch_do_not_mix(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, prototypes=prototypes())
    one = enrolled(file, given[:2], ["Ivory", "Ebony"])
    two = gallery_of(one.vectors, ["Ruby", "Pearl"], one.fingerprints[0], digest="2")
    params = asked("pod")
    items = [
        Item(given[0], params, reference=one),
        Item(given[0], params, reference=two),
        Item(given[0], asked()),
    ]
    found = results(load(file, IDENTIFY), items)
    assert [one.individual for one in found[:2]] == ["Ivory", "Ruby"]
    assert found[2].individual in NAMES


def test_gallery_alone_or_fused_as_the_manifest_says(folder: Path, given: list[Picture]) -> None:
    alone = manifest(folder, prototypes=prototypes())
    gallery = enrolled(alone, given[:2], [NAMES[0], "Ebony"])
    (by_gallery,) = identify(alone, given[:1], gallery, candidates=9)
    assert {one.individual for one in by_gallery.candidates} == {NAMES[0], "Ebony"}
    (by_prototypes,) = identify(alone, given[:1], candidates=9)
    weight = 0.5
    file = manifest(folder, prototypes=prototypes(), gallery={"prototypes_weight": weight})
    (both,) = identify(file, given[:1], gallery, candidates=9)
    assert both.matched_by is CetaceanMatch.FUSED
    near = {one.individual: one.cosine for one in by_gallery.candidates}
    learned = {one.individual: one.cosine for one in by_prototypes.candidates}
    expected: dict[str, Any] = learned | near
    expected[NAMES[0]] = (near[NAMES[0]] + learned[NAMES[0]]) / 2
    assert {one.individual: one.cosine for one in both.candidates} == pytest.approx(expected)


def test_an_empty_gallery_knows_nobody(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, gate=gate(threshold=0.0))
    nobody = gallery_of(np.zeros((0, 32)), [], "f" * 64)
    (one,) = identify(file, given[:1], nobody)
    assert one.is_cetacean and one.new_individual is True and one.individual is None
    assert one.rejected and one.rejection_reason is CetaceanRejection.LOW_CONFIDENCE
    assert one.note == "the gallery is empty"


def test_nothing_to_compare_with_is_said(folder: Path, given: list[Picture]) -> None:
    (one,) = identify(manifest(folder, gate=gate(threshold=0.0)), given[:1])
    assert one.is_cetacean and not one.rejected and one.individual is None
    assert one.note is not None and one.note.startswith("nothing to compare with")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"fingerprints": ("0" * 64,)}, r"other weights \(000000000000\) than those here"),
        ({"inputs": (Input("embed_dino"),)}, "holds vectors of embed_dino; only those of embed_c"),
        (
            {"vectors": np.eye(2, dtype=np.float32)},
            r"of shape \(2, 2\) for 2 labels and 32",
        ),
    ],
)
def test_a_gallery_of_other_vectors_is_refused(
    folder: Path, given: list[Picture], more: dict[str, Any], complaint: str
) -> None:
    file = manifest(folder)
    gallery = replace(enrolled(file, given[:2], ["Ivory", "Ebony"]), **more)
    with pytest.raises(OperationFailed, match=complaint):
        identify(file, given[:1], gallery)


def test_a_gallery_is_asked_of_the_server(folder: Path, given: list[Picture]) -> None:
    one = operation(manifest(folder), IDENTIFY)
    assert one.reference(asked()) is None
    assert one.reference(asked("pod")) == ReferenceRequest(ReferenceKind.GALLERY, "pod")
    runner = one.load(context_of(one, folder))
    with pytest.raises(OperationFailed, match="there is none here"):
        runner.prepare(Item(given[0], asked("pod")))


# --- as every plugin ------------------------------------------------------------------------------


def test_a_picture_that_breaks_the_network_fails_alone(folder: Path, given: list[Picture]) -> None:
    runner = load(manifest(folder, prototypes=prototypes()), IDENTIFY)
    outputs = runner.run([runner.prepare(Item(picture, asked())) for picture in given])
    before = runner.encode(outputs[0])
    animal = outputs[1].animal
    for broken in (animal.vector * float("nan"), animal.vector * 0):
        with pytest.raises(OperationFailed, match="no direction"):
            runner.encode(replace(outputs[1], animal=replace(animal, vector=broken)))
    assert runner.encode(outputs[0]) == before


def test_one_network_and_one_gate_in_memory(folder: Path) -> None:
    shared = Shared()
    file = manifest(folder, gate=gate(), prototypes=prototypes())
    runners = [load(file, name, shared) for name in ("screen_cetacean", EMBED, IDENTIFY)]
    assert len(shared.models) == 2
    assert runners[2].memory_bytes() > runners[0].memory_bytes() + runners[1].memory_bytes()


def test_the_promises_of_every_plugin(folder: Path) -> None:
    host = discover(manifest(folder, gate=gate(), prototypes=prototypes()))
    findings = check_plugin(host, ModelStore(folder / "models", offline=True), "cetacean")
    assert [one for one in findings if one.verdict is Verdict.FAILED] == []
    passed = {one.subject for one in findings if one.verdict is Verdict.PASSED}
    assert passed == {SCREEN, EMBED, IDENTIFY}


def test_an_embedding_says_what_it_is(folder: Path, given: list[Picture]) -> None:
    file = manifest(folder, embedder=embedder())
    one = operation(file, EMBED)
    context = context_of(one, folder)
    (found,) = results(one.load(context), [Item(given[0], EmbeddingParams())])
    assert isinstance(found, Embedding)
    assert found.model_fingerprint == context.models["embedder"].fingerprint
    assert (found.dimensions, found.normalized, found.region, found.note) == (32, False, None, None)
