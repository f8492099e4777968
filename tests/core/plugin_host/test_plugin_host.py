"""The plugin host: one door, each failure kept to its own plugin, duplicates stop the start."""

import logging
import sys
import threading
from pathlib import Path
from types import MappingProxyType

import pytest

from opsin.core.contract import Target
from opsin.core.errors import DuplicateName, PluginError, UnknownOperation
from opsin.core.plugin_host import PluginFailure, PluginHost, PluginSource
from opsin.core.plugin_host.host import MAX_FAILURES
from tests.core.made_plugins import EMBEDDER, FINDER, Make, discover, source_of
from tests.core.made_plugins import make as make


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


def test_two_text_embedders_for_one_operation_stop_the_start(make: Make) -> None:
    embedder = EMBEDDER.format(operation="'one'")
    with pytest.raises(DuplicateName, match="text embedder of operation 'one'"):
        discover(
            make("first", source_of("one") + embedder), make("second", source_of("two") + embedder)
        )


def test_text_embedders_are_registered_by_operation(make: Make) -> None:
    host = discover(make("both", source_of("one") + EMBEDDER.format(operation="'one'")))
    assert host.failures == ()
    assert list(host.text_embedders) == ["one"]
    assert host.text_embedders["one"].plugin.name == "both"
    assert host.text_embedders["one"].embedder.name == "embedder"
    assert isinstance(host.text_embedders, MappingProxyType)


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
