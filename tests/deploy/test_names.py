"""What deployments name is what the code has: settings, commands, paths, versions of packages."""

import re
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
import typer.main
from alembic.script import ScriptDirectory
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from opsin.cli.main import app
from opsin.settings import DOCUMENTED_NAMES, Settings
from opsin.storage.schema import alembic_config
from tests.deploy.manifests import DEPLOY, ROOT, compose, of_kind, pod_templates

FILES = [
    ROOT / "Dockerfile",
    *(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ROOT / "docs" / "deployment.md",
    ROOT / "docs" / "upgrading.md",
]
# What names the image, and nothing in it.
OF_COMPOSE = {"OPSIN_IMAGE", "OPSIN_TARGET"}


def test_every_setting_that_a_file_names_is_one() -> None:
    known = {f"OPSIN_{name.upper()}" for name in Settings.model_fields} | OF_COMPOSE
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        for name in re.findall(r"\bOPSIN_[A-Z0-9_]+", path.read_text("utf-8"))
        if name not in known and name not in DOCUMENTED_NAMES
    }
    assert unknown == set()


def _environments() -> list[tuple[str, dict[str, str]]]:
    """What each container is told, with a value where the operator fills one in."""
    of_services = [
        (name, service["environment"])
        for name, service in compose()["services"].items()
        if "environment" in service
    ]
    (settings,) = of_kind("ConfigMap")
    (secret,) = of_kind("Secret")
    return [*of_services, ("kubernetes", settings["data"] | secret["stringData"])]


@pytest.mark.parametrize(("name", "environment"), _environments())
def test_settings_are_taken(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment.items():
        given = re.sub(r"\$\{(\w+)(:\?|:-([^}]*))?\}", lambda m: m[3] or "x" * 40, str(value))
        monkeypatch.setenv(variable, given)
    settings = Settings()
    ours = {variable for variable in environment if variable.startswith("OPSIN_")}
    assert {f"OPSIN_{name.upper()}" for name in settings.model_fields_set} >= ours


def _command_lines() -> list[tuple[str, list[str]]]:
    of_services = [
        (name, service["command"])
        for name, service in compose()["services"].items()
        if "build" in service or str(service.get("image", "")).startswith("${OPSIN_IMAGE")
        if service.get("entrypoint") is None
    ]
    of_pods = [
        (name, container["args"])
        for name, template in pod_templates()
        for container in template["spec"]["containers"]
        if "args" in container and "command" not in container
    ]
    in_scripts = [
        (name, [word for word in line.split() if re.fullmatch(r"[a-z]+|--[a-z-]+", word)])
        for name, template in pod_templates()
        for container in template["spec"]["containers"]
        if "command" in container
        for script in container.get("args", [])
        for line in re.findall(r"^ *opsin ([a-z][^\n]*)", script, re.M)
    ]
    assert len(in_scripts) >= 3
    return [*of_services, *of_pods, *in_scripts]


@pytest.mark.parametrize(("name", "words"), _command_lines())
def test_commands_exist_with_their_options(name: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    left = list(words)
    while hasattr(command, "commands"):
        command = command.commands[left.pop(0)]
    known = {o for one in command.params for o in (*one.opts, *one.secondary_opts)}
    assert {word for word in left if word.startswith("-")} <= known


def test_every_variable_of_the_compose_file_is_in_its_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    used = set(re.findall(r"\$\{(\w+)", text))
    required = set(re.findall(r"\$\{(\w+):\?\}", text))
    example = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text("utf-8"), re.M))
    assert required <= example <= used


def test_constraints_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    pinned = dict(
        line.split("==")
        for line in (DEPLOY / "constraints.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
    names = ("models", "postgres", "s3", "ray", "reports", "telemetry")
    asked = [*project["dependencies"], *(one for name in names for one in extras[name])]
    wrong = [
        one
        for one in map(Requirement, asked)
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"))
    ]
    assert wrong == []
    # Nobody builds an image of what nobody has tested.
    assert pinned["ray"] == version("ray")
    (cluster,) = of_kind("RayCluster")
    assert cluster["spec"]["rayVersion"] == pinned["ray"]


def test_no_file_holds_a_secret() -> None:
    """Those that need one are empty, or say what belongs there."""
    example = (DEPLOY / "compose.env.example").read_text("utf-8")
    for name in ("POSTGRES_PASSWORD", "STORE_PASSWORD", "OPSIN_SECRET_KEY"):
        assert f"\n{name}=\n" in example
    (secret,) = of_kind("Secret")
    assert {
        name: re.search(r"[A-Z-]{3,}", value) is not None
        for name, value in secret["stringData"].items()
    } == dict.fromkeys(secret["stringData"], True)


def test_every_revision_is_in_the_upgrade_notes() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    known = sorted(one.revision for one in script.walk_revisions())
    notes = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
    assert re.findall(r"^\| (\d{4}) \|", notes, re.M) == known
