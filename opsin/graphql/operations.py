"""Operations, their models, and plugins as GraphQL shows them."""

from typing import Any, Self

import strawberry
from strawberry.scalars import JSON

from opsin.core.contract import ModelRequirement
from opsin.core.plugin_host import (
    PluginFailure as Failure,
)
from opsin.core.plugin_host import (
    PluginInfo,
    RegisteredOperation,
)
from opsin.core.use_cases import UseCases
from opsin.graphql.context import Info
from opsin.graphql.targets import Target


@strawberry.type(description="Weights that an operation or a region finder needs.")
class Model:
    role: str
    name: str
    licence: str
    size_bytes: float | None

    @classmethod
    def of(cls, requirement: ModelRequirement) -> Self:
        return cls(
            role=requirement.role,
            name=requirement.name,
            licence=requirement.licence,
            size_bytes=requirement.size_bytes,
        )


@strawberry.type(description="Something that failed in a plugin; the others work on.")
class PluginFailure:
    plugin: str
    stage: str = strawberry.field(description="import, register, hook:<name> or load")
    error_type: str
    message: str

    @classmethod
    def of(cls, failure: Failure) -> Self:
        return cls(
            plugin=failure.plugin,
            stage=failure.stage,
            error_type=failure.error_type,
            message=failure.message,
        )


@strawberry.type(description="A provider of operations.")
class Plugin:
    name: str
    version: str | None
    distribution: str | None
    builtin: bool
    operations: list[str]
    failures: list[PluginFailure]

    @classmethod
    def of(cls, info: PluginInfo, failures: list[Failure]) -> Self:
        return cls(
            name=info.name,
            version=info.version,
            distribution=info.distribution,
            builtin=info.builtin,
            operations=list(info.operations),
            failures=[PluginFailure.of(failure) for failure in failures],
        )


@strawberry.type(description="Whether an operation can look at this part of a picture here.")
class TargetAvailability:
    target: Target
    available: bool
    unavailable_reason: str | None


@strawberry.type(description="A named, versioned function on an image region.")
class Operation:
    name: str
    version: str
    description: str
    targets: list[Target]
    default_target: Target
    params_schema: JSON = strawberry.field(description="JSON Schema of its params.")
    result_type: str = strawberry.field(description="The member of OperationResult it gives.")
    registered: strawberry.Private[RegisteredOperation]

    @classmethod
    def of(cls, registered: RegisteredOperation) -> Self:
        operation = registered.operation
        return cls(
            name=operation.name,
            version=operation.version,
            description=operation.description,
            targets=list(operation.targets),
            default_target=operation.default_target,
            params_schema=JSON(operation.params.model_json_schema()),
            result_type=operation.result.__name__,
            registered=registered,
        )

    @strawberry.field(description="Whether it can be run on at least one of its targets here.")
    def available(self, info: Info) -> bool:
        return info.context.use_cases.availability.any_available(self.registered.operation)

    @strawberry.field(description="What is missing, and the command that gets it.")
    def unavailable_reason(self, info: Info) -> str | None:
        if self.available(info):
            return None
        reasons = self._reasons(info.context.use_cases)
        return next(reason for reason in reasons.values() if reason is not None)

    @strawberry.field(description="Whether `imagesLike` finds images by words with it.")
    def embeds_text(self, info: Info) -> bool:
        return self.name in info.context.use_cases.host.text_embedders

    @strawberry.field(description="Availability for each target.")
    def availability(self, info: Info) -> list[TargetAvailability]:
        return [
            TargetAvailability(target=target, available=reason is None, unavailable_reason=reason)
            for target, reason in self._reasons(info.context.use_cases).items()
        ]

    @strawberry.field(description="The operation's own weights, as configured here.")
    def models(self, info: Info) -> list[Model]:
        found = info.context.use_cases.availability.models_of(self.registered.operation)
        return [Model.of(requirement) for requirement in found]

    @strawberry.field
    def plugin(self, info: Info) -> Plugin:
        return _plugin(info.context.use_cases, self.registered.plugin)

    def _reasons(self, use_cases: UseCases) -> dict[Target, str | None]:
        reasons: dict[Target, Any] = use_cases.availability.reasons(self.registered.operation)
        return reasons


def list_plugins(use_cases: UseCases) -> list[Plugin]:
    """Admitted plugins, then those that failed before they were."""
    admitted = [_plugin(use_cases, info) for info in use_cases.host.plugins]
    known = {plugin.name for plugin in admitted}
    failed = dict.fromkeys(f.plugin for f in use_cases.host.failures if f.plugin not in known)
    return admitted + [
        _plugin(use_cases, PluginInfo(name, None, None, "", False, ())) for name in failed
    ]


def _plugin(use_cases: UseCases, info: PluginInfo) -> Plugin:
    return Plugin.of(info, [f for f in use_cases.host.failures if f.plugin == info.name])
