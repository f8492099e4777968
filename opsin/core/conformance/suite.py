"""The checks, each a promise of the contract, and what they found."""

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from opsin.core.annotations import validate_annotations
from opsin.core.conformance.pictures import bad_pictures, trial_pictures
from opsin.core.conformance.trial import Trial, difference, example_params
from opsin.core.contract import (
    Embedding,
    Input,
    Loadable,
    Operation,
    Params,
    Picture,
    Region,
    RegionFinder,
    Result,
)
from opsin.core.engine.batching import Failure
from opsin.core.errors import NotShown, OperationUnavailable, OpsinError
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.core.storable import check_json


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found of one operation, region finder or text embedder."""

    subject: str
    check: str
    verdict: Verdict
    text: str = ""


class Broken(Exception):
    """A promise that is not kept, in words for the author."""


Check = Callable[[Trial], str | None]
"""Gives a remark or nothing; raises Broken."""


def check_plugin(
    host: PluginHost,
    models: ModelStore,
    plugin: str,
    *,
    device: str = "cpu",
    params: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Try all that the plugin provides; `params` are given to each operation that has them.

    What cannot be loaded here, and what needs more than a picture, is SKIPPED and says why.
    """
    findings = [
        Finding(plugin, failure.stage, Verdict.FAILED, f"{failure.error_type}: {failure.message}")
        for failure in host.failures
        if failure.plugin == plugin
    ]
    for loadable in _provided(host, plugin):
        findings += _try(host, models, loadable, device, params or {})
    if not findings:
        text = f"there is no plugin {plugin!r}, or it provides nothing"
        findings.append(Finding(plugin, "provides something", Verdict.FAILED, text))
    return findings


def _provided(host: PluginHost, plugin: str) -> Iterator[Loadable]:
    yield from (r.operation for r in host.operations.values() if r.plugin.name == plugin)
    yield from (r.finder for r in host.finders.values() if r.plugin.name == plugin)
    embedders = host.text_embedders
    yield from (r.embedder for r in embedders.values() if r.plugin.name == plugin)


def _try(
    host: PluginHost,
    models: ModelStore,
    loadable: Loadable,
    device: str,
    given: Mapping[str, Any],
) -> Iterator[Finding]:
    subject = loadable.name
    try:
        trial = _trial(host, models, loadable, device, given)
    except OperationUnavailable as error:
        yield Finding(subject, "loads", Verdict.SKIPPED, error.message)
        return
    except Exception as error:
        yield Finding(subject, "loads", Verdict.FAILED, f"{type(error).__name__}: {error}")
        return
    if trial is None:
        text = "it needs a stored reference, which only a server has"
        yield Finding(subject, "loads", Verdict.SKIPPED, text)
        return
    yield Finding(subject, "loads", Verdict.PASSED)
    for name, check in CHECKS.items():
        try:
            yield Finding(subject, name, Verdict.PASSED, check(trial) or "")
        except NotShown as error:  # no promise is broken by pictures of something else
            yield Finding(subject, name, Verdict.SKIPPED, error.message)
        except Broken as broken:
            yield Finding(subject, name, Verdict.FAILED, str(broken))
        except Exception as error:
            yield Finding(subject, name, Verdict.FAILED, f"{type(error).__name__}: {error}")


def _trial(
    host: PluginHost,
    models: ModelStore,
    loadable: Loadable,
    device: str,
    given: Mapping[str, Any],
) -> Trial | None:
    """None for what needs a stored reference."""
    params = Params()
    if isinstance(loadable, Operation):
        fields = loadable.params.model_fields
        params = example_params(loadable, {k: v for k, v in given.items() if k in fields})
        if loadable.reference(params) is not None:
            return None
    context = models.context(loadable, device)
    return Trial(loadable, context, params, partial(_input, host, models, device))


def _input(
    host: PluginHost, models: ModelStore, device: str, wanted: Input, picture: Picture
) -> Result:
    """Another operation's result, for one that works on it."""
    operation = host.operation(wanted.operation)
    params = example_params(operation, wanted.params)
    find = partial(_input, host, models, device)
    trial = Trial(operation, models.context(operation, device), params, find)
    try:
        (answer,) = trial.alone([trial.thing(picture)])
    finally:
        trial.runner.close()
    if isinstance(answer, Failure):
        raise answer.error
    assert isinstance(answer, Result)
    return answer


def _answers(trial: Trial, pictures: Sequence[Picture]) -> list[Any]:
    return trial.alone([trial.thing(picture) for picture in pictures])


def _declares(trial: Trial) -> None:
    """Every target gives what is declared, and it can be stored."""
    pictures = trial_pictures()
    for target in trial.targets:
        things = [trial.thing(picture, target) for picture in pictures]
        for picture, answer in zip(pictures, trial.alone(things), strict=True):
            if isinstance(answer, Failure) and isinstance(answer.error, NotShown):
                raise answer.error
            if isinstance(answer, Failure):
                raise Broken(f"an ordinary picture fails ({target.value}): {answer.error.message}")
            _check_answer(trial.loadable, answer, picture)


def _check_answer(loadable: Loadable, answer: Any, picture: Picture) -> None:
    if isinstance(loadable, RegionFinder):
        _check_region(answer, picture)
        return
    expected: Any = loadable.result if isinstance(loadable, Operation) else Embedding
    if not isinstance(answer, expected):
        raise Broken(f"gave a {type(answer).__name__}, where {expected.__name__} is declared")
    try:
        check_json(answer.model_dump(mode="json"), "result")
        annotations = list(answer.annotations())
        validate_annotations(annotations)
    except OpsinError as error:
        raise Broken(error.message) from error
    said = type(answer).annotation_types
    for annotation in annotations:
        if said and annotation.annotation_type not in said:
            raise Broken(f"annotation_types does not say {annotation.annotation_type!r}")
    names = [artifact.name for artifact in answer.artifacts()]
    if len(set(names)) < len(names):
        raise Broken("two artifacts have one name")


def _check_region(answer: Any, picture: Picture) -> None:
    if answer is None:
        return
    if not isinstance(answer, Region):
        raise Broken(f"gave a {type(answer).__name__}, where Region or None is declared")
    height, width = picture.shape[:2]
    if answer.box.is_empty or answer.box != answer.box.clipped(width, height):
        raise Broken(f"the box {answer.box} is not inside the picture of {width} x {height}")


def _batch_equals_single(trial: Trial) -> str:
    # Some twice, so that also runners that take equal shapes only get batches.
    things = [trial.thing(picture) for picture in trial_pictures() for _ in range(2)]
    alone = trial.alone(things)
    for number, (one, other) in enumerate(zip(alone, trial.together(things), strict=True)):
        if found := difference(one, other):
            raise Broken(f"picture {number} alone and in a batch: {found}")
    return f"{len(things)} pictures"


def _is_deterministic(trial: Trial) -> str | None:
    if not getattr(trial.loadable, "deterministic", True):
        return "declared not to be"
    pictures = trial_pictures()
    for one, other in zip(_answers(trial, pictures), _answers(trial, pictures), strict=True):
        if found := difference(one, other):
            raise Broken(f"the same picture twice: {found}")
    return None


def _prepares_on_threads(trial: Trial) -> None:
    things = [trial.thing(picture) for picture in trial_pictures()] * 4
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(trial.runner.prepare, things))
    keys = [trial.runner.batch_key(trial.runner.prepare(thing)) for thing in things]
    for one, key in zip(prepared, keys, strict=True):
        if hash(trial.runner.batch_key(one)) != hash(key):
            raise Broken("`prepare` on several threads gives other batch keys than on one")


def _survives_bad_pictures(trial: Trial) -> str:
    good = trial_pictures()[0]
    (before,) = _answers(trial, [good])
    mixed = [trial.thing(picture) for picture in (good, *bad_pictures(), good)]
    answers = trial.together(mixed)
    for answer in (answers[0], answers[-1], *_answers(trial, [good])):
        if found := difference(before, answer):
            raise Broken(f"a good picture beside bad ones: {found}")
    failed = sum(isinstance(answer, Failure) for answer in answers[1:-1])
    return f"{failed} of {len(bad_pictures())} bad pictures refused, the others answered"


def _cost(trial: Trial) -> str:
    thing = trial.thing(trial_pictures()[0])
    count = min(8, max(1, trial.runner.max_batch))
    one, many = trial.seconds([thing]), trial.seconds([thing] * count)
    return f"{one * 1000:.2f} ms alone, {many * 1000:.2f} ms an item in a batch of {count}"


def _unloads(trial: Trial) -> None:
    """Last: it takes the runner away."""
    (before,) = _answers(trial, trial_pictures()[:1])
    runner, gone = trial.runner, weakref.ref(trial.runner)
    runner.close()
    trial.runner = trial.load()
    del runner
    gc.collect()
    if gone() is not None:
        raise Broken("something still refers to the runner after it was closed")
    (after,) = _answers(trial, trial_pictures()[:1])
    trial.runner.close()
    if found := difference(before, after):
        raise Broken(f"loaded again, it gives another answer: {found}")


CHECKS: Mapping[str, Check] = {
    "gives what it declares": _declares,
    "batch equals single": _batch_equals_single,
    "deterministic": _is_deterministic,
    "prepares on threads": _prepares_on_threads,
    "survives bad pictures": _survives_bad_pictures,
    "cost": _cost,
    "unloads": _unloads,
}
