"""The rules a plugin's descriptors must keep, checked once when its hook returns them."""

import re
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from opsin.core.applications.steps import problem_of
from opsin.core.contract import (
    Application,
    MissingRegion,
    ModelRequirement,
    Operation,
    Params,
    RegionFinder,
    Result,
    Target,
    TextEmbedder,
)
from opsin.core.errors import PluginError
from opsin.core.models.requirements import requirement_problem
from opsin.core.plugin_host.fields import TYPE_NAME, inner_types

OPERATION_NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Also a valid GraphQL name: each operation is a member of the GraphQL type `OperationInput`."""
_APPLICATION_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,254}")


def checked_operation(plugin: str, candidate: object) -> Operation[Any, Any]:
    """The candidate, when it is a complete operation; otherwise `PluginError` says what is not."""
    operation: Operation[Any, Any] = _instance_of(plugin, candidate, Operation)
    _check_loadable(plugin, operation)
    what = f"operation {operation.name!r}"
    if not OPERATION_NAME.fullmatch(operation.name):
        raise PluginError(plugin, f"{what}: the name must match {OPERATION_NAME.pattern}")
    if not _is_text(getattr(operation, "description", None)):
        raise PluginError(plugin, f"{what}: `description` must be a text")
    _check_model(plugin, what, "params", getattr(operation, "params", None), Params)
    result = getattr(operation, "result", None)
    _check_model(plugin, what, "result", result, Result)
    if result is Result:
        raise PluginError(plugin, f"{what}: `result` must be a subclass of Result of your own")
    if not TYPE_NAME.fullmatch(operation.result.__name__):
        name = operation.result.__name__
        raise PluginError(
            plugin, f"{what}: the result class {name!r} must match {TYPE_NAME.pattern}"
        )
    _check_targets(plugin, what, operation)
    for attribute in ("crop", "uses_picture", "deterministic"):
        if not isinstance(getattr(operation, attribute), bool):
            raise PluginError(plugin, f"{what}: `{attribute}` must be True or False")
    return operation


def checked_finder(plugin: str, candidate: object) -> RegionFinder:
    """The candidate, when it is a complete region finder; otherwise `PluginError` says why not."""
    finder: RegionFinder = _instance_of(plugin, candidate, RegionFinder)
    _check_loadable(plugin, finder)
    target = getattr(finder, "target", None)
    if not isinstance(target, Target) or target is Target.WHOLE_IMAGE:
        raise PluginError(
            plugin, f"finder {finder.name!r}: `target` must be the Target of a region in the image"
        )
    return finder


def checked_embedder(plugin: str, candidate: object) -> TextEmbedder:
    """The candidate, when it is a complete text embedder; otherwise `PluginError` says why not."""
    embedder: TextEmbedder = _instance_of(plugin, candidate, TextEmbedder)
    _check_loadable(plugin, embedder)
    operation = getattr(embedder, "operation", None)
    if not isinstance(operation, str) or not OPERATION_NAME.fullmatch(operation):
        raise PluginError(
            plugin, f"text embedder {embedder.name!r}: `operation` must be the name of an operation"
        )
    return embedder


def checked_application(plugin: str, candidate: object) -> Application:
    """The candidate, when it is complete; whether its operations are there is seen later."""
    application: Application = _instance_of(plugin, candidate, Application)
    if problem := application_problem(application):
        raise PluginError(plugin, problem)
    return application


def application_problem(application: Application) -> str | None:
    """What is wrong with an application that is declared in code; None for nothing."""
    name: object = application.name
    if not isinstance(name, str) or not _APPLICATION_NAME.fullmatch(name):
        return f"an application's name must match {_APPLICATION_NAME.pattern}"
    what = f"application {name!r}"
    for attribute in ("title", "description"):
        if not _is_text(getattr(application, attribute)):
            return f"{what}: `{attribute}` must be a text"
    if application.image_type is not None and not _is_text(application.image_type):
        return f"{what}: `image_type` must be a text or None"
    if not _is_id(application.id):
        return f"{what}: `id` must be a UUID in lower case"
    if not isinstance(application.steps, tuple):
        return f"{what}: `steps` must be a tuple of Step"
    problem = problem_of(application.steps)
    return f"{what}: {problem}" if problem else None


def _is_id(text: object) -> bool:
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text
    except ValueError:
        return False


# What a plugin hands over is Any below: its types are what is being checked.
def _instance_of(plugin: str, candidate: Any, kind: type[Any]) -> Any:
    if isinstance(candidate, kind):
        return candidate
    if isinstance(candidate, type) and issubclass(candidate, kind):
        raise PluginError(plugin, f"return an instance: {candidate.__name__}(), not the class")
    raise PluginError(plugin, f"expected {kind.__name__}, got {type(candidate).__name__}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_loadable(plugin: str, loadable: Any) -> None:
    for attribute in ("name", "version"):
        if not _is_text(getattr(loadable, attribute, None)):
            kind = type(loadable).__name__
            raise PluginError(plugin, f"{kind}: `{attribute}` must be a text")
    what = f"{loadable.name!r}"
    requires = loadable.requires
    if not isinstance(requires, tuple) or not all(_is_text(name) for name in requires):
        raise PluginError(plugin, f"{what}: `requires` must be a tuple of package names")
    if loadable.extra is not None and not _is_text(loadable.extra):
        raise PluginError(plugin, f"{what}: `extra` must be a text such as 'opsin[models]'")
    models = loadable.models
    if not isinstance(models, tuple) or not all(isinstance(m, ModelRequirement) for m in models):
        raise PluginError(plugin, f"{what}: `models` must be a tuple of ModelRequirement")
    if len({requirement.role for requirement in models}) != len(models):
        raise PluginError(plugin, f"{what}: two models have the same role")
    for requirement in models:
        if problem := requirement_problem(requirement):
            raise PluginError(plugin, f"model {requirement.name!r}: {problem}")


def _check_model(plugin: str, what: str, attribute: str, model: Any, base: type[BaseModel]) -> None:
    if not isinstance(model, type) or not issubclass(model, base):
        raise PluginError(plugin, f"{what}: `{attribute}` must be a subclass of {base.__name__}")
    try:
        _make_schema(model, base is Params)
    except Exception as error:
        raise PluginError(
            plugin, f"{what}: `{attribute}` has a field without a JSON schema: {error}"
        ) from error
    try:
        inner_types(model)
    except ValueError as error:
        raise PluginError(plugin, f"{what}: `{attribute}`: {error}") from error


@lru_cache(maxsize=512)
def _make_schema(model: type[BaseModel], for_input: bool) -> None:
    """Raises what pydantic raises for a class that has none; a class that has one keeps it."""
    model.model_json_schema(mode="validation" if for_input else "serialization")


def _check_targets(plugin: str, what: str, operation: Any) -> None:
    targets = operation.targets
    if (
        not isinstance(targets, tuple)
        or not targets
        or not all(isinstance(target, Target) for target in targets)
        or len(set(targets)) != len(targets)
    ):
        raise PluginError(plugin, f"{what}: `targets` must be a tuple of different Targets")
    if operation.default_target not in targets:
        raise PluginError(plugin, f"{what}: `default_target` must be one of `targets`")
    missing = operation.missing_region
    if not isinstance(missing, Mapping) or not all(
        isinstance(missing.get(target), MissingRegion)
        for target in targets
        if target is not Target.WHOLE_IMAGE
    ):
        raise PluginError(
            plugin, f"{what}: `missing_region` must say what to do for every region in `targets`"
        )
