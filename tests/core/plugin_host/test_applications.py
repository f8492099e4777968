"""Applications of plugins: admitted with their operations, left out when they do not fit."""

import pytest

from opsin.core.errors import DuplicateName, PluginError
from opsin.core.plugin_host import PluginHost
from tests.core.made_plugins import Make, discover, source_of
from tests.core.made_plugins import make as make

HOOK = """
from opsin import Application, Step

@hookimpl
def opsin_applications():
    {body}
"""
GOOD = """return [Application("set_{name}", "Set", "A set.", (Step("only", "{operation}"),))]"""


def with_application(operation: str, of: str | None = None, body: str = "") -> str:
    """A plugin of one operation, and an application with that or another one."""
    text = body or GOOD.format(name=operation, operation=of or operation)
    return source_of(operation) + HOOK.format(body=text)


def names(host: PluginHost) -> list[str]:
    return [one.application.name for one in host.applications.values()]


def test_an_application_is_known_by_its_id(make: Make) -> None:
    host = discover(make("one", with_application("one")))
    ((identity, registered),) = host.applications.items()
    assert registered.application.id == identity
    assert registered.application.steps[0].operation == "one"
    assert registered.plugin == host.plugins[0]
    assert host.failures == ()


def test_its_operations_may_be_those_of_a_plugin_that_comes_later(make: Make) -> None:
    host = discover(make("one", with_application("one", of="two")), make("two", source_of("two")))
    assert names(host) == ["set_one"]
    assert host.failures == ()


def test_one_whose_operation_is_not_here_is_told_of_and_stays(make: Make) -> None:
    """Datasets may have it, and the operation may come back."""
    sources = make("one", with_application("one", of="two")), make("two", source_of("two"))
    host = discover(*sources, disabled=frozenset({"two"}))
    assert names(host) == ["set_one"]
    (failure,) = host.failures
    assert (failure.plugin, failure.stage) == ("one", "hook:opsin_applications")
    assert failure.message == ("application 'set_one', step 'only': there is no operation 'two'")
    with pytest.raises(PluginError, match="no operation 'two'"):
        discover(*sources, disabled=frozenset({"two"}), strict=True)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("""Step("a", "one", {"size": 3})""", "size: Extra inputs are not permitted"),
        ("""Step("a", "one", {"target": "moon"})""", "target: Input should be"),
        ("""Step("a", "one", {"target": "prominent_face"})""", "has no target"),
        ("""Step("a", "one", 7)""", "'int' object is not iterable"),
    ],
)
def test_one_with_params_that_do_not_fit_is_left_out(make: Make, step: str, words: str) -> None:
    extra = "targets = (Target.WHOLE_IMAGE,)"
    body = f"""return [
        Application("bad", "Bad", "Bad params.", ({step}, Step("b", "one"))),
        Application("good", "Good", "Good ones.", (Step("a", "one"),)),
    ]"""
    text = source_of("one", extra=extra) + HOOK.format(body=body)
    host = discover(make("one", text))
    assert list(host.operations) == ["one"]
    assert names(host) == ["good"]
    (failure,) = host.failures
    assert failure.stage == "hook:opsin_applications"
    assert words in failure.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [3]", "expected Application, got int"),
        ("return [Application]", "return an instance: Application()"),
        ("return None", "returned None"),
        ("""return [Application("a b", "A", "A.", (Step("a", "one"),))]""", "name must match"),
        ("""return [Application("a", "", "A.", (Step("a", "one"),))]""", "`title`"),
        ("""return [Application("a", "A", "A.", ())]""", "1 to 100 steps"),
        ("""return [Application("a", "A", "A.", [Step("a", "one")])]""", "must be a tuple"),
        (
            """return [Application("a", "A", "A.", (Step("a", "one", requires=("b",)),))]""",
            "requires 'b', which is no step",
        ),
        ("raise ValueError('in the hook')", "in the hook"),
    ],
)
def test_a_malformed_one_is_told_of_and_the_operations_stay(
    make: Make, body: str, words: str
) -> None:
    host = discover(make("one", with_application("one", body=body)))
    assert list(host.operations) == ["one"]
    assert names(host) == []
    (failure,) = host.failures
    assert (failure.plugin, failure.stage) == ("one", "hook:opsin_applications")
    assert words in failure.message


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("""Application("same", "B", "B.", (Step("b", "two"),))""", "application 'same'"),
        (
            """Application("b", "B", "B.", (Step("b", "two"),),
                           id=Application("same", "", "", ()).id)""",
            "application id",
        ),
    ],
)
def test_a_name_or_id_that_is_taken_stops_the_start(make: Make, second: str, words: str) -> None:
    first = """return [Application("same", "A", "A.", (Step("a", "one"),))]"""
    sources = (
        make("one", with_application("one", body=first)),
        make("two", with_application("two", body=f"return [{second}]")),
    )
    with pytest.raises(DuplicateName) as caught:
        discover(*sources)
    assert words in caught.value.message and "'one'" in caught.value.message
