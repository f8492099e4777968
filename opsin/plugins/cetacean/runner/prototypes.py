"""Prototypes: one learned vector, or several, for each individual known since the training."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from opsin import LoadContext, LocatedModel
from opsin.core.neural import UnusableWeights, read_weights
from opsin.plugins.cetacean.manifest import Pipeline
from opsin.plugins.cetacean.stages import Prototypes

ROLE = "prototypes"


class PrototypeMatcher:
    """Unit rows on the device, and whose they are."""

    def __init__(self, stage: Prototypes, model: LocatedModel, device: str) -> None:
        weights, individuals, *species = model.paths
        name = model.requirement.name
        self.individuals = read_individuals(individuals)
        self.species = _read_species(species[0], stage) if species else {}
        rows = _rows(stage, weights, name)
        known = len(rows) // stage.sub_centres
        active = known if stage.active is None else stage.active
        if active > known:
            raise UnusableWeights(f"{name!r} has rows of {known} individuals; {active} are active")
        if active != len(self.individuals):
            raise UnusableWeights(
                f"{name!r} has rows of {active} active individuals, "
                f"but {individuals.name} names {len(self.individuals)}"
            )
        rows = rows[: active * stage.sub_centres].to(torch.float32)
        if not bool(torch.isfinite(rows).all()) or not bool(rows.norm(dim=1).gt(0).all()):
            raise UnusableWeights(f"{stage.tensor} of {name!r} has rows that are no directions")
        self._rows = torch.nn.functional.normalize(rows, dim=1).to(device)
        self._sub_centres = stage.sub_centres

    @property
    def dimensions(self) -> int:
        return int(self._rows.shape[1])

    @torch.inference_mode()
    def cosines(self, vectors: torch.Tensor) -> torch.Tensor:
        """Of vectors of any length with each individual, vectors x individuals, on the CPU."""
        found = torch.nn.functional.normalize(vectors.to(self._rows.device), dim=1) @ self._rows.T
        return found.reshape(len(found), -1, self._sub_centres).amax(dim=2).to("cpu")

    def memory_bytes(self) -> int:
        return self._rows.nbytes


def load_prototypes(
    pipeline: Pipeline, context: LoadContext, dimensions: int
) -> PrototypeMatcher | None:
    """The manifest's prototypes for vectors of that length; None when it has none."""
    stage = pipeline.manifest.prototypes
    if stage is None:
        return None
    model = context.models[ROLE]
    matcher = PrototypeMatcher(stage, model, context.device)
    if matcher.dimensions != dimensions:
        raise UnusableWeights(
            f"the rows of {model.requirement.name!r} have {matcher.dimensions} dimensions, "
            f"the embedder's vectors {dimensions}"
        )
    return matcher


def read_individuals(file: Path) -> tuple[str, ...]:
    """The ids in the order of the rows: a JSON list of texts, or one id a line.

    Never numbers: an id like 1234e567 would be damaged.  Raises UnusableWeights.
    """
    text = file.read_text("utf-8-sig")
    if file.suffix == ".json":
        try:
            told = json.loads(text)
        except ValueError as error:
            raise UnusableWeights(f"{file.name} is no JSON: {error}") from None
        if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
            raise UnusableWeights(f"{file.name} must be a list of texts")
        individuals = [one.strip() for one in told]
    else:
        individuals = [line.strip() for line in text.splitlines()]
    if not all(individuals):
        raise UnusableWeights(f"{file.name} has an empty id at place {individuals.index('') + 1}")
    seen: set[str] = set()
    for individual in individuals:
        if individual in seen:
            raise UnusableWeights(f"{file.name} names {individual!r} twice")
        seen.add(individual)
    return tuple(individuals)


def _rows(stage: Prototypes, file: Path, name: str) -> torch.Tensor:
    """(Individuals x sub-centres) x dimensions."""
    tensors = read_weights(file)
    if stage.tensor not in tensors:
        has = ", ".join(sorted(tensors)[:3])
        raise UnusableWeights(f"{file.name} of {name!r} has no {stage.tensor}; it has {has}")
    rows = tensors[stage.tensor]
    if rows.dim() == 3 and rows.shape[1] == stage.sub_centres:
        rows = rows.flatten(0, 1)
    if rows.dim() != 2 or len(rows) % stage.sub_centres or not rows.numel():
        raise UnusableWeights(
            f"{stage.tensor} of {name!r} must be rows x dimensions, "
            f"{stage.sub_centres} rows an individual; it is {list(tensors[stage.tensor].shape)}"
        )
    return rows


def _read_species(file: Path, stage: Prototypes) -> Mapping[str, str]:
    species: dict[str, str] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for column in (stage.individual_column, stage.species_column):
            if column not in (reader.fieldnames or ()):
                raise UnusableWeights(f"{file.name} has no column {column!r}")
        for row in reader:
            individual = (row[stage.individual_column] or "").strip()
            name = (row[stage.species_column] or "").strip()
            if not individual or not name:
                continue
            if species.setdefault(individual, name) != name:
                raise UnusableWeights(f"{file.name} gives {individual!r} two species")
    return species
