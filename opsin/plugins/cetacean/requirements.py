"""The packages and weights that the stages of a manifest need."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from opsin import Folder, ModelRequirement, Repository
from opsin.plugins.cetacean.manifest import Manifest
from opsin.plugins.cetacean.stages import Source

_ACCELERATED = ("gate", "embedder")
"""The others are always float32: a box decides what is embedded, and prototypes are compared."""


def requirements_of(
    manifest: Manifest, folder: Path, stages: Sequence[str]
) -> tuple[ModelRequirement, ...]:
    """The weights of those of the stages that the manifest has, the stage as role.

    `folder` is where relative folders go from.
    """
    return tuple(
        _requirement(manifest.name, stage, source, files, folder)
        for stage, (source, files) in _needs(manifest).items()
        if stage in stages
    )


def packages_of(manifest: Manifest, stages: Sequence[str]) -> tuple[str, ...]:
    """The importable packages that these stages need."""
    packages = {"torch": True}
    if "gate" in stages and manifest.gate is not None:
        packages["transformers"] = True
    if "detector" in stages and manifest.detector is not None:
        packages["torchvision"] = True
    if "embedder" in stages:
        packages[manifest.embedder.source] = True
    return tuple(packages)


def _needs(manifest: Manifest) -> Mapping[str, tuple[Source, tuple[str, ...]]]:
    needs: dict[str, tuple[Source, tuple[str, ...]]] = {}
    if gate := manifest.gate:
        needs["gate"] = (gate.model, gate.files)
    if detector := manifest.detector:
        needs["detector"] = (detector.model, (detector.file,))
    embedder = manifest.embedder
    described = ("config.json",) if embedder.source == "transformers" else ()
    needs["embedder"] = (embedder.model, (*described, embedder.file))
    if prototypes := manifest.prototypes:
        species = () if prototypes.species is None else (prototypes.species,)
        needs["prototypes"] = (
            prototypes.model,
            (prototypes.file, prototypes.individuals, *species),
        )
    return needs


def _requirement(
    name: str, stage: str, source: Source, files: tuple[str, ...], beside: Path
) -> ModelRequirement:
    origin: Folder | Repository
    if source.folder is not None:
        path = (beside / Path(source.folder).expanduser()).absolute()
        origin = Folder(path, files, source.sha256)
    else:
        assert source.repository is not None and source.revision is not None  # it has one of both
        origin = Repository(source.repository, source.revision, files, source.sha256)
    return ModelRequirement(
        role=stage,
        name=f"{name}-{stage}",
        origin=origin,
        licence=source.licence,
        remedy=source.remedy,
        accelerates=stage in _ACCELERATED,
    )
