"""Subscriptions to analysis events: each event is answered once for all who ask the same of it."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Hashable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any
from weakref import WeakValueDictionary

import orjson
from graphql import (
    DocumentNode,
    Executor,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    VariableNode,
    VariableValues,
    Visitor,
    execute_subscription_event,
    get_argument_values,
    visit,
)
from graphql.execution.collect_fields import collect_fields
from strawberry.types import ExecutionResult

from opsin.core.gathering import Gathering
from opsin.core.patience import patiently
from opsin.graphql.compiler.compiler import Compiler
from opsin.graphql.compiler.events import EventReader
from opsin.graphql.compiler.rules import NotCompiled
from opsin.graphql.context import Context
from opsin.graphql.curation import PERSONAL_FIELD
from opsin.graphql.errors import public_error
from opsin.graphql.subscriptions import AnalysisEvent, wanted_events, with_analyses
from opsin.graphql.wire import encode_json
from opsin.storage.event_log import Event, EventFilter

FIELD = "analysisEvents"

_AT_ONCE = 50
"""Events that are answered together, and of which one subscriber holds the answers."""
_KEPT_SECONDS = 1.0
"""How long an answer serves those who come for the same event a little later."""
_MOST_KEPT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What one selection shows of one event, and how many bytes that takes."""

    result: ExecutionResult
    size: int


class Selection:
    """What one document asks of each event, for all callers who may see the same.

    `context` is that of the first of them; only what all of them share of it is used.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any],
        context: Context,
        reader: EventReader | None,
    ) -> None:
        self._reader = reader
        self._schema = schema
        self._document = document
        self._operation_name = operation_name
        self._variables = dict(variables)
        self._context = context.for_one_operation()
        self._gathering: Gathering[Event, Answer] = Gathering(self._answer)
        self._known: dict[tuple[int, str], asyncio.Future[Answer]] = {}
        self._kept_bytes = 0

    async def answers(self, events: Sequence[Event]) -> list[ExecutionResult]:
        """The answers in order; raises StorageError when the database is down."""
        asked = [self._known.get(_key(event)) or self._ask(event) for event in events]
        return [(one.result() if one.done() else await asyncio.shield(one)).result for one in asked]

    def _ask(self, event: Event) -> asyncio.Future[Answer]:
        # A load that has begun is shared, too: it began after the event, which is all it promises.
        key = _key(event)
        future = self._known[key] = self._gathering.ask(key, event)
        future.add_done_callback(partial(self._keep, key))
        return future

    def _keep(self, key: tuple[int, str], future: asyncio.Future[Answer]) -> None:
        """Forget the answer soon; at once, if it is none or is too large."""
        size = 0 if future.cancelled() or future.exception() else future.result().size
        if not size or self._kept_bytes + size > _MOST_KEPT_BYTES:
            self._known.pop(key, None)
            return
        self._kept_bytes += size
        asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._forget, key, size)

    def _forget(self, key: tuple[int, str], size: int) -> None:
        self._known.pop(key, None)
        self._kept_bytes -= size

    async def _answer(self, events: Sequence[Event]) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(events), _AT_ONCE):
            answers += await self._execute(events[start : start + _AT_ONCE])
        return answers

    async def _execute(self, events: Sequence[Event]) -> list[Answer]:
        """By one statement; where that cannot be, by resolvers, which share their loaders."""
        context = self._context.for_one_operation()
        if self._reader is not None:
            texts = await self._reader.read(context, [AnalysisEvent.of(e, None) for e in events])
            if texts is not None:
                return [answer_of(text) for text in texts]
        executor = Executor.build(
            self._schema,
            self._document,
            context_value=context,
            raw_variable_values=self._variables,
            operation_name=self._operation_name,
        )
        assert isinstance(executor, Executor), "it was built before"
        shown = await with_analyses(context, events)
        return list(await asyncio.gather(*(_execute_one(executor, event) for event in shown)))


class SharedEvents:
    """Finds the subscribers that ask the same of each event, and answers them together."""

    def __init__(self, schema: GraphQLSchema, compiler: Compiler | None) -> None:
        """Without a compiler, every answer is made by resolvers."""
        self._schema = schema
        self._compiler = compiler
        self._selections: WeakValueDictionary[object, Selection] = WeakValueDictionary()

    def follow(
        self,
        document: DocumentNode,
        text: str,
        operation_name: str | None,
        variables: Mapping[str, Any],
        context: Context,
    ) -> AsyncGenerator[ExecutionResult, None] | None:
        """The answers to a valid subscription; None for one that is to go the ordinary way."""
        executor = Executor.build(
            self._schema,
            document,
            context_value=context,
            raw_variable_values=dict(variables),
            operation_name=operation_name,
        )
        root = self._schema.subscription_type
        if not isinstance(executor, Executor) or root is None:
            return None
        groups = collect_fields(
            self._schema, executor.fragments, executor.variable_values, root, executor.operation
        ).grouped_field_set
        nodes = [details[0].node for details in groups.values()]
        if [node.name.value for node in nodes] != [FIELD]:
            return None
        try:
            given = get_argument_values(root.fields[FIELD], nodes[0], executor.variable_values)
            shaping = {
                name: variables[name]
                for name in sorted(_shaping_variables(document, executor.operation))
                if name in variables
            }
            key = (text, operation_name, orjson.dumps(shaping))
        except (GraphQLError, TypeError):  # the ordinary way tells the caller
            return None
        every = [one.node for details in groups.values() for one in details]

        def select() -> Selection:
            return self._selection(
                (*key, _rights(context, text)),
                lambda: Selection(
                    self._schema,
                    document,
                    operation_name,
                    variables,
                    context,
                    self._reader(document, every, executor.variable_values),
                ),
            )

        wanted = wanted_events(
            context, given.get("datasetId"), given.get("imageId"), given.get("analysisId")
        )
        return _follow(context, select, wanted, given.get("after"))

    def _selection(self, key: Hashable, make: Callable[[], Selection]) -> Selection:
        found = self._selections.get(key)
        if found is None:
            found = self._selections[key] = make()
        return found

    def _reader(
        self, document: DocumentNode, nodes: Sequence[FieldNode], variables: VariableValues
    ) -> EventReader | None:
        if self._compiler is None:
            return None
        try:
            return EventReader(self._compiler, document, nodes, variables)
        except NotCompiled:
            return None


async def _follow(
    context: Context, select: Callable[[], Selection], wanted: EventFilter, after: int | None
) -> AsyncGenerator[ExecutionResult, None]:
    try:
        selection, rights = select(), context.principal.rights
        groups = context.use_cases.events.follow(wanted, after=after, datasets=context.readable)
        async with aclosing(_in_parts(groups)) as parts:
            async for events in parts:
                # After the event: a key that was revoked before it sees it no more.
                await patiently(context.confirm)
                if context.principal.rights != rights:  # others see the same from now on
                    selection, rights = select(), context.principal.rights
                seen = context.seen(events)
                for result in await patiently(partial(selection.answers, seen)):
                    yield result
    except Exception as error:
        told = GraphQLError(str(error), original_error=error)
        yield ExecutionResult(data=None, errors=[public_error(told)])


async def _in_parts(groups: AsyncIterator[list[Event]]) -> AsyncGenerator[Sequence[Event], None]:
    async with aclosing(groups):  # type: ignore[type-var]  # it is a generator
        async for events in groups:
            for start in range(0, len(events), _AT_ONCE):
                yield events[start : start + _AT_ONCE]


async def _execute_one(executor: Executor[Any], event: AnalysisEvent) -> Answer:
    outcome = execute_subscription_event(executor.build_per_event_executor(event))
    done = await outcome if isawaitable(outcome) else outcome
    if done.errors:
        errors = [public_error(error) for error in done.errors]
        return Answer(ExecutionResult(data=done.data, errors=errors), 0)
    return answer_of(encode_json(done.data))


def answer_of(text: bytes) -> Answer:
    """An answer without errors whose data is this JSON."""
    data: Any = orjson.Fragment(text)
    return Answer(ExecutionResult(data=data, errors=None), len(text))


def _key(event: Event) -> tuple[int, str]:
    return event.sequence, event.kind  # RESYNC has the position of another event


def _rights(context: Context, document: str) -> tuple[object, ...]:
    """Callers who are equal in this see the same of an event of their company."""
    person = context.principal.identity if PERSONAL_FIELD in document else None
    principal = context.principal
    readable = principal.rights.readable
    return principal.company_id, readable, context.base_url, context.max_page, person


def _shaping_variables(
    document: DocumentNode, operation: OperationDefinitionNode
) -> frozenset[str]:
    """The variables on which answers may depend: all but those that only choose the events."""
    found = _Variables()
    for selection in operation.selection_set.selections:
        if isinstance(selection, FieldNode):
            parts: list[Node] = list(selection.directives or ())
            parts += [selection.selection_set] if selection.selection_set else []
        else:
            parts = [selection]
        for part in parts:
            visit(part, found)
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            visit(definition, found)
    return frozenset(found.names)


class _Variables(Visitor):
    """Collects the names of the variables in what it visits."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)
