"""Galleries, prototypes, fusion and the open-set rule, against loops that are plain to read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opsin import Gallery
from opsin.core.neural import UnusableWeights
from opsin.plugins.cetacean.results import CetaceanMatch
from opsin.plugins.cetacean.runner.gallery import Grouping, Groupings, cosines
from opsin.plugins.cetacean.runner.prototypes import PrototypeMatcher, read_individuals
from opsin.plugins.cetacean.runner.ranking import (
    Comparison,
    Species,
    fused,
    is_doubtful,
    is_new,
    ranked,
)
from opsin.plugins.cetacean.stages import GalleryMatcher, OpenSet, Prototypes, Taxonomy
from tests.plugins.cetacean.making import (
    context_of,
    gallery_of,
    manifest,
    operation,
    prototypes,
    save_embedder,
    save_prototypes,
)

DIMENSIONS = 24


def some_gallery(seed: int = 0, count: int = 60, digest: str = "1") -> Gallery:
    """Several pictures of each of 13 individuals, in no order."""
    random = np.random.default_rng(seed)
    labels = [f"whale {number}" for number in random.integers(0, 13, count)]
    return gallery_of(random.normal(size=(count, DIMENSIONS)), labels, "f" * 64, digest=digest)


def a_vector(seed: int = 7) -> Any:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


# --- galleries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("combine", "nearest"), [("max", None), ("mean", None), ("mean", 1), ("mean", 3), ("mean", 99)]
)
def test_cosines_by_individual_are_those_of_a_loop(combine: Any, nearest: int | None) -> None:
    gallery, vector = some_gallery(), a_vector()
    grouping = Grouping.of(gallery.labels)
    found = cosines(vector, gallery, grouping, GalleryMatcher(combine=combine, nearest=nearest))
    by_label: dict[str, list[float]] = {}
    for label, row in zip(gallery.labels, gallery.vectors, strict=True):
        by_label.setdefault(label, []).append(float(np.dot(row, vector)))
    expected = {}
    for label, values in by_label.items():
        best = sorted(values, reverse=True)[: nearest or len(values)]
        expected[label] = best[0] if combine == "max" else sum(best) / len(best)
    assert dict(zip(grouping.individuals, found, strict=True)) == pytest.approx(expected, abs=1e-6)
    assert len(set(map(len, by_label.values()))) > 2, "individuals have different numbers of rows"


def test_an_individual_with_one_picture() -> None:
    gallery = gallery_of([[1, 0], [0, 1], [1, 1]], ["b", "a", "b"], "f")
    grouping = Grouping.of(gallery.labels)
    found = cosines(np.array([1, 0], np.float32), gallery, grouping, GalleryMatcher())
    assert grouping.individuals == ("a", "b")
    assert found == pytest.approx([0, 1])


def test_groupings_follow_the_digest() -> None:
    groupings = Groupings()
    first = some_gallery(digest="1")
    assert groupings.of(first) is groupings.of(some_gallery(digest="1"))
    other = groupings.of(some_gallery(seed=1, count=5, digest="2"))
    assert other.counts.sum() == 5
    assert groupings.of(first).counts.sum() == 60


# --- prototypes -----------------------------------------------------------------------------------


def matcher_of(
    folder: Path, rows: torch.Tensor, individuals: list[str], **more: Any
) -> PrototypeMatcher:
    save_embedder(folder, dimensions=rows.shape[-1])
    save_prototypes(folder, individuals, rows, {individuals[0]: "orca"})
    file = manifest(folder, prototypes=prototypes(**more))
    one = operation(file, "identify_cetacean")
    stage = Prototypes.model_validate_json(json.dumps(prototypes(**more)))
    return PrototypeMatcher(stage, context_of(one, folder).models["prototypes"], "cpu")


@pytest.mark.parametrize("shape", ["flat", "stacked"])
@pytest.mark.parametrize(("sub_centres", "active"), [(1, None), (1, 6), (3, None), (3, 4)])
def test_prototypes_are_those_of_a_loop(
    tmp_path: Path, sub_centres: int, active: int | None, shape: str
) -> None:
    torch.manual_seed(0)
    rows = torch.randn(9, sub_centres, DIMENSIONS) * 3
    individuals = [f"id{number}" for number in range(active or 9)]
    stored = rows.flatten(0, 1) if shape == "flat" else rows
    if sub_centres == 1 and shape == "stacked":
        stored = rows  # 9 x 1 x dimensions
    matcher = matcher_of(tmp_path, stored, individuals, sub_centres=sub_centres, active=active)
    vectors = torch.randn(4, DIMENSIONS)
    found = matcher.cosines(vectors)
    expected = [
        [
            max(float(torch.cosine_similarity(vector, row, dim=0)) for row in rows[index])
            for index in range(active or 9)
        ]
        for vector in vectors
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert matcher.individuals == tuple(individuals)
    assert matcher.species == {"id0": "orca"}


@pytest.mark.parametrize(
    ("names", "more", "complaint"),
    [
        (8, {}, "has rows of 9 active individuals, but individuals.txt names 8"),
        (9, {"active": 8}, "has rows of 8 active individuals, but individuals.txt names 9"),
        (10, {"active": 10}, "has rows of 9 individuals; 10 are active"),
        (9, {"tensor": "head.weight"}, "has no head.weight; it has arc.weight"),
        (9, {"sub_centres": 2}, r"2 rows an individual; it is \[9, 24\]"),
        (9, {"species_column": "art"}, "species.csv has no column 'art'"),
    ],
)
def test_rows_and_names_must_agree(
    tmp_path: Path, names: int, more: dict[str, Any], complaint: str
) -> None:
    individuals = [f"id{number}" for number in range(names)]
    with pytest.raises(UnusableWeights, match=complaint):
        matcher_of(tmp_path, torch.eye(9, DIMENSIONS), individuals, **more)


def test_a_row_without_direction_is_refused(tmp_path: Path) -> None:
    rows = torch.eye(3, DIMENSIONS)
    rows[1] = 0
    with pytest.raises(UnusableWeights, match="rows that are no directions"):
        matcher_of(tmp_path, rows, ["a", "b", "c"])


def test_ids_stay_texts(tmp_path: Path) -> None:
    ids = ("1234e567", "000000000012", "5e10", "null")
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    assert read_individuals(tmp_path / "ids.txt") == ids
    assert read_individuals(tmp_path / "ids.json") == ids


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("ids.json", "[1, 2]", "must be a list of texts"),
        ("ids.json", '{"a": 1}', "must be a list of texts"),
        ("ids.json", "[", "is no JSON"),
        ("ids.txt", "a\n\nb\n", "an empty id at place 2"),
        ("ids.txt", "a\nb\na\n", "names 'a' twice"),
    ],
)
def test_lists_of_ids_that_are_wrong(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnusableWeights, match=complaint):
        read_individuals(tmp_path / name)


# --- ranks ----------------------------------------------------------------------------------------

NOBODY = Species(Taxonomy())


def comparison(
    cosines_: dict[str, float], by: CetaceanMatch = CetaceanMatch.GALLERY, scale: float = 30
) -> Comparison:
    values = np.array(list(cosines_.values()), np.float64)
    return Comparison(tuple(cosines_), values, scale, OpenSet(), by)


def test_probabilities_are_a_softmax_over_all_individuals() -> None:
    told = {f"whale {n}": float(c) for n, c in enumerate(np.linspace(-0.2, 0.4, 40))}
    found = ranked(comparison(told), 5, NOBODY, None)
    shares = torch.tensor(list(told.values()), dtype=torch.float64).mul(30).softmax(0)
    assert [one.individual for one in found] == [f"whale {n}" for n in (39, 38, 37, 36, 35)]
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert [one.probability for one in found] == pytest.approx(shares.topk(5).values.tolist())
    assert [one.cosine for one in found] == pytest.approx([told[one.individual] for one in found])


def test_fewer_individuals_than_candidates_and_ties_by_order() -> None:
    found = ranked(comparison({"b": 0.5, "a": 0.5}), 5, NOBODY, None)
    assert [one.individual for one in found] == ["b", "a"]
    assert [one.probability for one in found] == pytest.approx([0.5, 0.5])
    assert ranked(comparison({}), 5, NOBODY, None) == ()


def test_an_extreme_scale_does_not_overflow() -> None:
    (first, second) = ranked(comparison({"a": 1.0, "b": -1.0}, scale=1000), 2, NOBODY, None)
    assert (first.probability, second.probability) == (1.0, 0.0)


def test_fusion_is_the_weighted_mean_of_both() -> None:
    both = fused(
        comparison({"a": 0.2, "b": 0.6}),
        comparison({"b": 0.4, "c": 0.9}, CetaceanMatch.PROTOTYPES, scale=99),
        prototypes_weight=0.25,
    )
    found = dict(zip(both.individuals, both.cosines, strict=True))
    assert found == pytest.approx({"a": 0.2, "b": 0.75 * 0.6 + 0.25 * 0.4, "c": 0.9})
    assert (both.matched_by, both.scale) == (CetaceanMatch.FUSED, 30)


def test_species_come_from_the_gallery_then_the_table_under_their_aliases() -> None:
    species = Species(
        Taxonomy(aliases={"kiler_whale": "killer_whale"}),
        {"a": "kiler_whale", "b": "beluga", "c": "beluga"},
    )
    gallery = gallery_of(
        np.eye(4), ["a", "b", "c", "d"], "f", {"b": {"species": "narwhal"}, "c": {"species": 3}}
    )
    assert [species.of(one, gallery) for one in "abcd"] == [
        "killer_whale", "narwhal", "beluga", None
    ]  # fmt: skip
    assert species.of("b", None) == "beluga"


@pytest.mark.parametrize(
    ("cosines_", "rule", "new", "doubtful"),
    [
        ({"a": 0.5, "b": 0.1}, {}, None, False),
        ({"a": 0.5}, {"min_cosine": 0.5}, False, False),
        ({"a": 0.5}, {"min_cosine": 0.51}, True, False),
        ({"a": 0.5, "b": 0.5}, {"min_probability": 0.5}, None, False),
        ({"a": 0.5, "b": 0.5}, {"min_probability": 0.51}, None, True),
        # Exactly the limit once it is rounded as it is shown: 1 of 3, 0.3333.
        ({"a": 0.5, "b": 0.5, "c": 0.5}, {"min_probability": 0.3333}, None, False),
    ],
)
def test_the_open_set_rule(
    cosines_: dict[str, float], rule: dict[str, float], new: bool | None, doubtful: bool
) -> None:
    best = ranked(comparison(cosines_), 1, NOBODY, None)[0]
    assert is_new(best, OpenSet(**rule)) is new
    assert is_doubtful(best, OpenSet(**rule)) is doubtful


def test_with_nobody_known_everybody_is_new() -> None:
    assert is_new(None, OpenSet()) is True
