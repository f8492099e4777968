"""What a plugin's hooks may hand over; what is malformed costs only the hook that gave it."""

import pytest

from opsin.core.errors import DuplicateName
from tests.core.made_plugins import EMBEDDER, FIELDS, FINDER, Make, discover, source_of
from tests.core.made_plugins import make as make


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "returned None"),
        ("return 3", "not iterable"),
        ("return [3]", "expected Operation, got int"),
        ("return 'An'", "expected Operation, got str"),
        ("return [An]", "return an instance: An()"),
    ],
)
def test_junk_from_a_hook_is_refused(make: Make, body: str, words: str) -> None:
    host = discover(make("bad", source_of("one", body=body)), make("good", source_of("good")))
    assert list(host.operations) == ["good"]
    assert words in host.failures[0].message
    assert host.failures[0].stage == "hook:opsin_operations"


def test_a_coroutine_is_no_hook(make: Make) -> None:
    text = source_of("one").replace("def opsin_operations", "async def opsin_operations")
    assert "hooks are synchronous" in discover(make("bad", text)).failures[0].message


def test_a_hook_wrapper_is_refused(make: Make) -> None:
    text = source_of("one", body="return (yield)")
    text = text.replace("@hookimpl", "@hookimpl(wrapper=True)")
    assert "wrappers" in discover(make("bad", text)).failures[0].message


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("name = 'Has-Dash'", "the name must match"),
        ("name = 'one\\n'", "the name must match"),
        ("name = None", "`name` must be a text"),
        ("version = 1", "`version` must be a text"),
        ("description = ''", "`description` must be a text"),
        ("params = dict", "`params` must be a subclass of Params"),
        ("result = dict", "`result` must be a subclass of Result"),
        ("result = Result", "a subclass of Result of your own"),
        ("result = type('_Odd', (Result,), {})", "must match [A-Z]"),
        ("targets = ()", "`targets` must be a tuple"),
        ("targets = ('whole_image',)", "`targets` must be a tuple"),
        ("targets = (Target.PROMINENT_FACE,)", "`default_target` must be one of"),
        ("missing_region = {}", "`missing_region` must say what to do"),
        ("requires = ('torch')", "`requires` must be a tuple"),
        ("models = ['x']", "`models` must be a tuple"),
        ("extra = 3", "`extra` must be a text"),
        ("crop = None", "`crop` must be True or False"),
        ("uses_picture = 1", "`uses_picture` must be True or False"),
    ],
)
def test_a_malformed_operation_fails_its_own_hook(make: Make, extra: str, words: str) -> None:
    host = discover(make("bad", source_of("one", extra=extra)), make("good", source_of("good")))
    assert list(host.operations) == ["good"]
    assert words in host.failures[0].message


def test_a_field_without_a_json_schema_is_refused(make: Make) -> None:
    text = source_of("one").replace("value: float", "value: __import__('typing').Callable")
    assert "JSON schema" in discover(make("bad", text)).failures[0].message


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dict[str, float]", "dict has no GraphQL type; use a list of a small model"),
        ("Literal['a', 'b']", "has no GraphQL type; use an Enum"),
        ("float | str", "of several types only one and None"),
        ("tuple[int, str]", "the elements of a list must have one type"),
        ("list[bytes]", "bytes has no GraphQL type"),
        ("Any", "Any has no GraphQL type"),
        ("'list[_Hidden | None]'", "'_Hidden' must match"),
        ("'Deep'", "field 'value' of Deep: bytes has no GraphQL type"),
    ],
)
@pytest.mark.parametrize("where", ["result", "params"])
def test_a_field_without_a_graphql_type_is_refused(
    make: Make, kind: str, words: str, where: str
) -> None:
    text = FIELDS + source_of("one")
    if where == "result":
        text = text.replace("    value: float\n", f"    value: {kind}\n")
    else:
        text = text.replace('version = "1"', f'version = "1"\n    params = model(Params, {kind})')
    host = discover(make("bad", text), make("good", source_of("good")))
    assert list(host.operations) == ["good"], "one field must not cost the server its schema"
    assert words in host.failures[0].message


@pytest.mark.parametrize(
    "kind",
    ["list[list[float]]", "tuple[int, int]", "Sequence[Deeper | None] | None", "Color", "datetime"],
)
def test_fields_with_a_graphql_type(make: Make, kind: str) -> None:
    text = FIELDS + source_of("one").replace("    value: float\n", f"    value: {kind}\n")
    assert discover(make("good", text)).failures == ()


def test_a_name_inside_a_result_is_a_public_name_too(make: Make) -> None:
    text = FIELDS + source_of("one").replace("value: float", "value: Deeper")
    other = FIELDS + source_of("two").replace("value: float", "value: Deeper")
    with pytest.raises(DuplicateName, match="type 'Deeper' is already taken by 'first'"):
        discover(make("first", text), make("second", other))


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("Download('https://a/b', '../b', '01234567')", "plain file name"),
        ("Download('https://a/b', 'b', '')", "8 to 64 hex digits"),
        ("Download('https://a/b', 'b', 'nothexad')", "8 to 64 hex digits"),
        ("Bundled('package', ())", "a tuple of files"),
        ("'b'", "must be Bundled, Download"),
    ],
)
def test_a_malformed_model_requirement_is_refused(make: Make, origin: str, words: str) -> None:
    extra = f"models = (ModelRequirement('r', 'n', {origin}, 'MIT'),)"
    text = "from opsin import Bundled, Download, ModelRequirement\n" + source_of("one", extra=extra)
    assert words in discover(make("bad", text)).failures[0].message


@pytest.mark.parametrize("target", ["Target.WHOLE_IMAGE", "'prominent_face'"])
def test_a_finder_needs_the_target_of_a_region(make: Make, target: str) -> None:
    host = discover(make("bad", source_of("one") + FINDER.format(target=target)))
    assert host.failures[0].stage == "hook:opsin_region_finders"
    assert list(host.operations) == ["one"], "a hook stands or falls by itself"


@pytest.mark.parametrize("operation", ["None", "''", "'Has-Dash'", "An"])
def test_a_text_embedder_needs_the_name_of_an_operation(make: Make, operation: str) -> None:
    host = discover(make("bad", source_of("one") + EMBEDDER.format(operation=operation)))
    assert host.failures[0].stage == "hook:opsin_text_embedders"
    assert "`operation` must be the name of an operation" in host.failures[0].message
    assert list(host.operations) == ["one"], "a hook stands or falls by itself"
    assert dict(host.text_embedders) == {}


def test_an_embedder_is_no_finder(make: Make) -> None:
    text = source_of("one") + EMBEDDER.format(operation="'one'").replace("[Embedder()]", "[An()]")
    assert "expected TextEmbedder, got An" in discover(make("bad", text)).failures[0].message
