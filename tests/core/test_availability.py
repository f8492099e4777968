"""Availability: an operation's own needs, and those of the finder of its target."""

from pathlib import Path
from typing import Any

import pytest

from opsin.core.availability import Availability
from opsin.core.contract import (
    LoadContext,
    MissingRegion,
    Operation,
    RegionFinder,
    Result,
    Runner,
    Target,
)
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginInfo, RegisteredFinder

INFO = PluginInfo("made", "1", None, "made", True, ())


class Nothing(Result): ...


class Embed(Operation[Any, Any]):
    name = "embed"
    version = "1"
    description = "for a test"
    result = Nothing

    def load(self, context: LoadContext) -> Runner[Any, Any]:
        raise NotImplementedError


class NeedsPackage(Embed):
    requires = ("not_a_package",)
    extra = "opsin[models]"


class FaceOnly(Embed):
    targets = (Target.PROMINENT_FACE,)
    default_target = Target.PROMINENT_FACE
    missing_region = {Target.PROMINENT_FACE: MissingRegion.SKIP}  # noqa: RUF012  # a fixed value


class Face(RegionFinder):
    name = "face"
    version = "1"
    target = Target.PROMINENT_FACE

    def load(self, context: LoadContext) -> Runner[Any, Any]:
        raise NotImplementedError


class Person(Face):
    name = "person"
    target = Target.PROMINENT_PERSON
    requires = ("not_a_package",)
    extra = "opsin[models]"


@pytest.fixture
def availability(tmp_path: Path) -> Availability:
    return with_finders(tmp_path, Face(), Person())


def with_finders(directory: Path, *finders: RegionFinder) -> Availability:
    registered = {finder.target: RegisteredFinder(INFO, finder) for finder in finders}
    return Availability(PluginHost(finders=registered), ModelStore(directory))


def test_a_target_needs_its_own_finder_and_no_other(availability: Availability) -> None:
    assert availability.reasons(Embed()) == {
        Target.WHOLE_IMAGE: None,
        Target.PROMINENT_PERSON: (
            "finding the region 'prominent_person' needs the 'models' extra: "
            "pip install 'opsin[models]'"
        ),
        Target.PROMINENT_FACE: None,
    }
    assert availability.any_available(Embed())


def test_the_operations_own_needs_come_first(availability: Availability) -> None:
    reasons = availability.reasons(NeedsPackage())
    assert set(reasons.values()) == {"embed needs the 'models' extra: pip install 'opsin[models]'"}
    assert not availability.any_available(NeedsPackage())


def test_a_target_nobody_finds_is_told_of(tmp_path: Path) -> None:
    availability = with_finders(tmp_path)
    assert availability.reasons(FaceOnly()) == {
        Target.PROMINENT_FACE: "no plugin finds the region 'prominent_face'"
    }
    assert not availability.any_available(FaceOnly())


def test_a_target_the_operation_does_not_have(availability: Availability) -> None:
    reason = availability.reason(FaceOnly(), Target.WHOLE_IMAGE)
    assert reason == "embed has no target 'whole_image'"
