"""The Dockerfile and the compose file: linted, and sparing with what they let in and out."""

import json
import subprocess
import sys
from pathlib import Path

from tests.deploy.manifests import DEPLOY, ROOT, compose

BIN = Path(sys.executable).parent


def test_the_dockerfile_has_no_finding() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--format", "json", ROOT / "Dockerfile"],
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout) == []


def test_the_compose_file_is_one() -> None:
    """By the schema of the Compose Specification."""
    done = subprocess.run(
        [
            BIN / "check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            DEPLOY / "compose.yaml",
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


def test_nothing_runs_as_root_or_is_open_to_all() -> None:
    stages = (ROOT / "Dockerfile").read_text("utf-8").split("\nFROM ")[1:]
    users = {
        stage.partition("\n")[0].rpartition(" ")[2]: [
            line for line in stage.splitlines() if line.startswith("USER ")
        ]
        for stage in stages
    }
    for target in ("light", "cpu", "cuda"):
        assert users[target] == ["USER 10001:10001"]
    services = compose()["services"]
    # Only the proxy has a port outside.
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    own = {n: s for n, s in services.items() if str(s["image"]).startswith("${OPSIN_IMAGE")}
    assert {"api", "worker", "migrate"} <= own.keys()
    for service in own.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_of_others_are_named_to_the_version() -> None:
    for service in compose()["services"].values():
        image = str(service["image"])
        if not image.startswith("$"):
            assert image.rpartition(":")[2] not in ("", "latest", image)


def test_an_image_fits_the_files_that_are_mounted_into_it() -> None:
    """A file of this folder is named after the program that reads it."""
    read_by: dict[str, set[str]] = {}
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = Path(volume.partition(":")[0])
            if volume.startswith("./"):
                assert (DEPLOY / source).is_file()
                program = str(service["image"]).partition(":")[0].rpartition("/")[2]
                read_by.setdefault(source.stem, set()).add(program)
    assert read_by == {"haproxy": {"haproxy"}}


def test_what_a_build_gets_is_what_the_dockerfile_copies() -> None:
    """Everything else stays out: data, secrets, the history."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied: set[str] = set()
    for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied.update(line.split()[1:-1])
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


def test_the_health_check_is_a_program(tmp_path: Path) -> None:
    """It parses, and fails where nobody listens."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    (line,) = (one for one in text.splitlines() if one.strip().startswith('CMD ["python"'))
    program = json.loads(line.strip().removeprefix("CMD "))
    assert program[0] == "python"
    done = subprocess.run(
        [sys.executable, *program[1:]],
        env={"OPSIN_PORT": "9"},
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert b"Connection refused" in done.stderr
