"""What `make_task` lets through, and in which words it refuses."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from opsin.core.contract import FaceContext, Params, Target
from opsin.core.engine import make_task
from opsin.core.errors import InvalidParams, TargetNotSupported, UnknownOperation
from opsin.core.testing import FakeOperation, FakeParams
from tests.core.engine.workbench import host_of

HOST = host_of(FakeOperation(default_target=Target.PROMINENT_PERSON))


def test_the_operations_default_target_is_used_when_none_is_asked() -> None:
    for params in (None, {}, {"target": None}, FakeParams()):
        assert make_task(HOST, "t", "fake", params).target is Target.PROMINENT_PERSON
    task = make_task(HOST, "t", "fake", {"target": "whole_image", "mark": "3"})
    assert task.target is Target.WHOLE_IMAGE
    assert task.params == FakeParams(target=Target.WHOLE_IMAGE, mark=3)
    assert (task.task_id, task.operation.name) == ("t", "fake")


def test_params_of_the_base_class_become_the_operations_own() -> None:
    task = make_task(HOST, "t", "fake", Params(face_context=FaceContext.WHOLE_IMAGE))
    assert task.params == FakeParams(face_context=FaceContext.WHOLE_IMAGE)


def test_an_unknown_operation_is_named_before_anything_else() -> None:
    with pytest.raises(UnknownOperation):
        make_task(HOST, "t", "nothing", {"target": "moon", "mark": "x"})


@pytest.mark.parametrize("target", ["moon", "", 5, ["whole_image"], {}])
def test_a_target_that_is_not_allowed(target: object) -> None:
    host = host_of(FakeOperation(targets=(Target.PROMINENT_PERSON, Target.PROMINENT_FACE)))
    with pytest.raises(TargetNotSupported) as caught:
        make_task(host, "t", "fake", {"target": target, "mark": "not a number"})
    assert caught.value.message == (
        f"Unsupported target '{target}' for 'fake'. Allowed: ['prominent_person', 'prominent_face']"
    )


def test_a_known_target_that_the_operation_does_not_take() -> None:
    host = host_of(FakeOperation(targets=(Target.PROMINENT_FACE,)))
    with pytest.raises(TargetNotSupported, match="'whole_image' for 'fake'"):
        make_task(host, "t", "fake", {"target": "whole_image"})
    with pytest.raises(TargetNotSupported, match="'whole_image' for 'fake'"):
        make_task(host, "t", "fake")  # its own default, an author's mistake


def test_a_long_target_is_shortened() -> None:
    with pytest.raises(TargetNotSupported) as caught:
        make_task(HOST, "t", "fake", {"target": "x" * 10_000})
    assert len(caught.value.message) < 250


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Fussy(Params):
    count: Annotated[int, Field(ge=1)] = 1
    word: str = "a"
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(kind="cat")

    @field_validator("word")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 4:
            raise ValueError(f"{value} is too long")
        return value


FUSSY = host_of(FakeOperation(params=Fussy))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"count": "secret"}, "count: Input should be a valid integer, unable to parse string"),
        ({"count": -123456}, "count: Input should be greater than or equal to 1"),
        ({"secret": 1}, "secret: Extra inputs are not permitted"),
        ({"word": "my secret"}, "word: … is too long"),
        ({"pet": {"kind": "secret"}}, "pet: Input tag should be one of 'cat', 'dog'"),
        ({"face_context": "secret"}, "face_context: Input should be 'whole_image' or"),
        ({"pet": {"kind": "cat"}, "count": 0, "word": None}, "word: Input should be a valid str"),
    ],
)
def test_params_are_refused_by_field_and_reason_without_the_value(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        make_task(FUSSY, "t", "fake", params)
    assert message in caught.value.message
    values = [str(value) for value in params.values() if len(str(value)) > 3]
    assert not any(value in caught.value.message for value in values)
    assert caught.value.__suppress_context__


def test_the_reasons_are_few_and_short() -> None:
    with pytest.raises(InvalidParams) as caught:
        make_task(FUSSY, "t", "fake", {f"{n}" + "x" * 500: n for n in range(50)})
    assert len(caught.value.message) < 700
    assert caught.value.message.endswith("; and 45 more")


@pytest.mark.parametrize("params", [[], "text", 5])
def test_params_must_be_an_object(params: Any) -> None:
    with pytest.raises(InvalidParams, match="params: should be an object"):
        make_task(HOST, "t", "fake", params)
