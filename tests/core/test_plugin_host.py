"""The plugin host: one door, each failure kept to its own plugin, duplicates stop the start."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from opsin.core.contract import Target
from opsin.core.errors import DuplicateName, PluginError, UnknownOperation
from opsin.core.plugin_host import MAX_FAILURES, PluginFailure, PluginHost, PluginSource

OPERATION = """
from opsin import Operation, Params, Result, Runner, RegionFinder, Target, hookimpl

class {result}(Result):
    value: float

class An(Operation):
    name = "{name}"
    version = "1"
    description = "gives a value"
    result = {result}
    {extra}
    def load(self, context): ...
"""
HOOK = """
@hookimpl
def opsin_operations({arguments}):
    {body}
"""
FIELDS = """
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal
from pydantic import BaseModel, create_model

class Color(Enum):
    RED = "red"

class _Hidden(BaseModel):
    value: float

class Deeper(BaseModel):
    value: float
    again: "Deeper | None" = None

class Deep(BaseModel):
    value: bytes

def model(base, kind):
    names = {"_Hidden": _Hidden, "Deep": Deep}
    kind = eval(kind, names) if isinstance(kind, str) else kind
    return create_model("Made", __base__=base, value=(kind, ...))
"""
FINDER = """
class Finder(RegionFinder):
    name = "finder"
    version = "1"
    target = {target}
    def load(self, context): ...

@hookimpl
def opsin_region_finders(options):
    return [Finder()]
"""

Make = Callable[..., PluginSource]


def source_of(name: str, result: str | None = None, extra: str = "", body: str = "") -> str:
    result = result or name.title().replace("_", "")
    return OPERATION.format(name=name, result=result, extra=extra) + HOOK.format(
        arguments="", body=body or "return [An()]"
    )


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes a plugin's module; it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(name: str, text: str) -> PluginSource:
        module = f"made_plugin_{name}"
        (tmp_path / f"{module}.py").write_text(text)
        made.append(module)
        return PluginSource(name, module, "made-plugins", "0.3")

    yield write
    for module in made:
        sys.modules.pop(module, None)


def discover(*sources: PluginSource, **arguments: object) -> PluginHost:
    return PluginHost.discover(sources, entry_points=False, **arguments)  # type: ignore[arg-type]


def test_operations_keep_the_order_of_the_built_ins(make: Make) -> None:
    host = discover(make("second", source_of("zoo")), make("first", source_of("ant")))
    assert list(host.operations) == ["zoo", "ant"]
    assert host.failures == ()
    info = host.plugins[0]
    assert (info.name, info.module, info.builtin) == ("second", "made_plugin_second", True)
    assert (info.distribution, info.version, info.operations) == ("made-plugins", "0.3", ("zoo",))
    assert host.operations["zoo"].plugin == info
    assert host.operation("zoo") is host.operations["zoo"].operation


def test_the_registry_is_frozen(make: Make) -> None:
    host = discover(make("one", source_of("one")))
    assert isinstance(host.operations, MappingProxyType)
    assert isinstance(host.finders, MappingProxyType)


@pytest.mark.parametrize(
    ("text", "stage", "error_type", "words"),
    [
        ("raise RuntimeError('no luck')", "import", "RuntimeError", "no luck"),
        ("import sys; sys.exit('bye')", "import", "SystemExit", "bye"),
        ("raise BaseException", "import", "BaseException", "no message"),
        ("def broken(:", "import", "SyntaxError", "invalid syntax"),
        ("import not_there_at_all", "import", "ModuleNotFoundError", "not_there_at_all"),
        ("value = 1", "register", "PluginError", "no function marked with @opsin.hookimpl"),
        (
            "from opsin import hookimpl\n@hookimpl\ndef opsin_operations(settings): ...",
            "register",
            "PluginValidationError",
            "settings",
        ),
        (
            source_of("one", body="raise ValueError('in the hook')"),
            "hook:opsin_operations",
            "ValueError",
            "in the hook",
        ),
        (
            source_of("one", body="raise SystemExit(3)"),
            "hook:opsin_operations",
            "SystemExit",
            "3",
        ),
        (
            source_of("one", body="yield An(); raise ValueError('late')"),
            "hook:opsin_operations",
            "ValueError",
            "late",
        ),
    ],
)
def test_a_failing_plugin_is_told_of_and_harms_no_other(
    make: Make, text: str, stage: str, error_type: str, words: str
) -> None:
    host = discover(make("bad", text), make("good", source_of("good")))
    assert list(host.operations) == ["good"]
    (failure,) = host.failures
    assert (failure.plugin, failure.stage, failure.error_type) == ("bad", stage, error_type)
    assert words in failure.message


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
        ("'b'", "must be Bundled or Download"),
    ],
)
def test_a_malformed_model_requirement_is_refused(make: Make, origin: str, words: str) -> None:
    extra = f"models = (ModelRequirement('r', 'n', {origin}, 'MIT'),)"
    text = "from opsin import Bundled, Download, ModelRequirement\n" + source_of("one", extra=extra)
    assert words in discover(make("bad", text)).failures[0].message


def test_an_unknown_hook_is_told_of_and_the_others_work(make: Make) -> None:
    text = source_of("one") + "\n@hookimpl\ndef opsin_operatons(options): ...\n"
    host = discover(make("typo", text), make("good", source_of("good")))
    assert list(host.operations) == ["one", "good"]
    (failure,) = host.failures
    assert (failure.plugin, failure.stage) == ("typo", "register")
    assert failure.message == "there is no hook 'opsin_operatons'; did you mean 'opsin_operations'?"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (source_of("same", "One"), source_of("same", "Two"), "operation 'same'"),
        (source_of("one", "Same"), source_of("two", "Same"), "type 'Same'"),
    ],
)
def test_a_duplicate_name_stops_the_start(make: Make, first: str, second: str, words: str) -> None:
    with pytest.raises(DuplicateName) as caught:
        discover(make("first", first), make("second", second))
    assert caught.value.plugin == "second"
    assert words in caught.value.message and "'first'" in caught.value.message


def test_a_reserved_type_name_stops_the_start(make: Make) -> None:
    with pytest.raises(DuplicateName, match="type 'Image'"):
        discover(make("one", source_of("one", "Image")), reserved_type_names=frozenset({"Image"}))


def test_two_plugins_of_one_name_stop_the_start(make: Make) -> None:
    source = make("same", source_of("one"))
    with pytest.raises(DuplicateName, match="plugin 'same'"):
        discover(source, source)


def test_two_finders_for_one_target_stop_the_start(make: Make) -> None:
    finder = FINDER.format(target="Target.PROMINENT_FACE")
    with pytest.raises(DuplicateName, match="finder of target 'prominent_face'"):
        discover(
            make("first", source_of("one") + finder), make("second", source_of("two") + finder)
        )


def test_two_operations_may_share_one_result_class(make: Make) -> None:
    text = source_of("one", body="return [An(), Other()]") + (
        "\nclass Other(An):\n    name = 'other'\n"
    )
    assert list(discover(make("both", text)).operations) == ["one", "other"]


def test_finders_are_registered_by_target(make: Make) -> None:
    text = source_of("one") + FINDER.format(target="Target.PROMINENT_FACE")
    host = discover(make("both", text))
    assert list(host.finders) == [Target.PROMINENT_FACE]
    assert host.finders[Target.PROMINENT_FACE].plugin.name == "both"


@pytest.mark.parametrize("target", ["Target.WHOLE_IMAGE", "'prominent_face'"])
def test_a_finder_needs_the_target_of_a_region(make: Make, target: str) -> None:
    host = discover(make("bad", source_of("one") + FINDER.format(target=target)))
    assert host.failures[0].stage == "hook:opsin_region_finders"
    assert list(host.operations) == ["one"], "a hook stands or falls by itself"


@pytest.mark.parametrize("arguments", ["options", "options=None"])
def test_a_hook_gets_its_own_options_if_it_asks(make: Make, arguments: str) -> None:
    text = source_of("one", body="assert dict(options) == {'depth': 3}; return [An()]")
    text = text.replace("def opsin_operations()", f"def opsin_operations({arguments})")
    host = discover(make("one", text), options={"one": {"depth": 3}, "two": {"depth": 4}})
    assert [failure.message for failure in host.failures] == []
    assert list(host.operations) == ["one"]


def test_a_disabled_plugin_is_not_even_imported(make: Make) -> None:
    source = make("off", "raise RuntimeError")
    host = discover(source, disabled=frozenset({"off"}))
    assert (host.plugins, host.failures) == ((), ())
    assert source.module not in sys.modules


def test_settings_for_a_plugin_that_is_not_there_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    discover(options={"typo": {}}, disabled=frozenset({"gone"}))
    assert [record.args for record in caplog.records] == [("gone",), ("typo",)]


def test_strict_makes_the_first_failure_fatal(make: Make) -> None:
    with pytest.raises(PluginError, match="'bad': import: SystemExit: bye"):
        discover(make("bad", "import sys; sys.exit('bye')"), strict=True)


def test_strict_refuses_an_unknown_hook(make: Make) -> None:
    text = source_of("one") + "\n@hookimpl\ndef opsin_operatons(options): ...\n"
    with pytest.raises(PluginError, match="'typo': register: PluginError: there is no hook"):
        discover(make("typo", text), strict=True)


def test_the_operator_can_still_interrupt(make: Make) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover(make("slow", "raise KeyboardInterrupt"))


def test_a_message_holds_no_path_and_the_log_holds_the_traceback(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = discover(make("bad", f"open({str(tmp_path / 'secret.key')!r})"))
    assert host.failures[0].message == "[Errno 2] No such file or directory: '<path>'"
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cannot import name 'x' from 'a' (/srv/app/a.py)",
            "cannot import name 'x' from 'a' (<path>)",
        ),
        (r"no file C:\Users\me\a.txt here", "no file <path> here"),
        ("see https://opsin.example/docs/plugins", "see https://opsin.example/docs/plugins"),
        ("two\n  lines", "two lines"),
        ("x" * 900, "x" * 500),
    ],
)
def test_failure_texts(text: str, shown: str) -> None:
    assert PluginFailure.of("p", "load", ValueError(text)).message == shown


def test_reports_from_many_threads_are_kept_and_bounded(make: Make) -> None:
    host = discover(make("bad", "raise ValueError"))
    failures = [PluginFailure("p", "load", "ValueError", str(n)) for n in range(MAX_FAILURES * 2)]

    def report(part: int) -> None:
        for failure in failures[part::4] * 2:
            host.report(failure)

    threads = [threading.Thread(target=report, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(host.failures) == MAX_FAILURES
    host.report(host.failures[-1])
    assert len(host.failures) == MAX_FAILURES


def test_an_unknown_operation_brings_the_near_names(make: Make) -> None:
    host = discover(make("one", source_of("detect_bounding_box")))
    with pytest.raises(UnknownOperation, match="did you mean 'detect_bounding_box'"):
        host.operation("detect_bounding_boxes")
    with pytest.raises(UnknownOperation) as caught:
        host.operation("x" * 100_000)
    assert len(caught.value.message) < 200


def test_tracing_logs_calls_without_the_values_of_options(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    discover(make("one", source_of("one")), options={"one": {"token": "s3cret"}}, trace=True)
    (record,) = caplog.records
    assert record.getMessage() == "one: opsin_operations(options: ['token']) -> ['one']"


def install(folder: Path, distribution: str, version: str, entry_points: str) -> None:
    """A distribution as pip leaves it behind."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    (info / "entry_points.txt").write_text(entry_points)


def test_third_parties_come_by_entry_point_after_the_built_ins(make: Make, tmp_path: Path) -> None:
    make("zebra", source_of("zebra"))
    make("ape", source_of("ape"))
    text = source_of("bear").replace("@hookimpl\ndef opsin_operations(", "def operations(")
    make("bear", text + "\nclass Inner:\n    @hookimpl\n    def opsin_operations(self):\n"
         "        return operations()\nplugin = Inner()\n")  # fmt: skip
    install(
        tmp_path,
        "zoo-plugins",
        "4.2",
        "[opsin]\nzebra = made_plugin_zebra\nbear = made_plugin_bear:plugin\n"
        "none = made_plugin_bear:missing\nodd = !!\n",
    )
    install(tmp_path, "ape-plugin", "1.0", "[opsin]\nape = made_plugin_ape\n[other]\nx = y\n")
    host = PluginHost.discover([make("built_in", source_of("xenon"))])
    assert list(host.operations) == ["xenon", "ape", "bear", "zebra"]
    assert [plugin.builtin for plugin in host.plugins] == [True, False, False, False]
    assert [(p.distribution, p.version) for p in host.plugins[1:]] == [
        ("ape-plugin", "1.0"),
        ("zoo-plugins", "4.2"),
        ("zoo-plugins", "4.2"),
    ]
    assert [(f.plugin, f.stage) for f in host.failures] == [("none", "import"), ("odd", "import")]


def test_the_same_object_is_one_plugin(make: Make) -> None:
    first = make("first", source_of("one"))
    host = discover(first, PluginSource("second", first.module))
    assert [plugin.name for plugin in host.plugins] == ["first"]
    assert host.failures[0].message == "the same object is registered by another plugin"
