"""Whether an installed Opsin, without extras and without its source, does what it is for.

    python -P tests/packaging/installed.py SOURCE

A program and no pytest: it runs in an environment that has the wheel and what that needs, and no
test tools.  SOURCE is the checkout that the wheel was made of, to compare what is in it.  Each
check is a line; the first that fails ends it with a traceback.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

OPSIN = str(Path(sys.executable).with_name("opsin"))
LONGEST = 120.0

_DONE = """query($id: ID!) { analysis(id: $id) { status result {
  __typename ... on PerceptualHash { phash } } } }"""


def main(source: Path) -> None:
    """Every check, in a folder that goes with it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        home = Path(folder)
        _check("the wheel has every file of the package", lambda: has_every_file(source))
        _check("nothing heavy is needed", is_light)
        _check("the tables are made by a command", lambda: makes_tables(home))
        _check("operations without their extra say so", lambda: tells_what_is_missing(home))
        _check("a server answers, and analyses", lambda: serves(home))
        _check("a backup is restored", lambda: restores(home))
        _check("a plugin is made of the template", lambda: makes_a_plugin(home, source))


def _check(what: str, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    work()
    print(f"{what}: fine ({time.monotonic() - begun:.1f} s)", flush=True)


def has_every_file(source: Path) -> None:
    """All files of opsin/, the plugin template as a part of it, and nothing else."""
    import opsin

    place = Path(opsin.__file__).parent
    assert place != source / "opsin", "opsin is imported from the checkout"
    listed = {
        str(path)
        for path in distribution("opsin").files or ()
        if "__pycache__" not in path.parts and ".dist-info" not in path.parts[0]
    }
    expected = {f"opsin/{name}" for name in _files(source / "opsin")} | {
        f"opsin/plugin_template/{name}" for name in _files(source / "plugin_template")
    }
    listed = {name for name in listed if not name.startswith("..")}  # the command
    assert listed == expected, sorted(listed ^ expected)
    for name in expected:
        origin = source / name.replace("opsin/plugin_template/", "plugin_template/")
        assert (place.parent / name).read_bytes() == origin.read_bytes(), name


def _files(folder: Path) -> Iterator[str]:
    """The files that git knows or would; those of a folder that is no checkout, all of them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        found = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
        names = [name for name in found if "__pycache__" not in name]
    else:
        names = listed.stdout.decode().split("\0")
    for name in names:
        if name and (folder / name).is_file():
            yield name


def is_light() -> None:
    """The light installation has no model library, and the command starts without any."""
    assert {
        name for name in ("torch", "ray", "asyncpg", "transformers") if find_spec(name)
    } == set()
    assert _opsin("--version").strip() == f"opsin {distribution('opsin').version}"
    assert "serve" in _opsin("--help")


def makes_tables(home: Path) -> None:
    made = _opsin("db", "upgrade", data_dir=home / "data")
    assert made.startswith("(empty) -> "), made
    current = _opsin("db", "current", data_dir=home / "data")
    assert current.strip() == made.split("->")[1].strip()


def tells_what_is_missing(home: Path) -> None:
    found = json.loads(_opsin("operations", "--json", data_dir=home / "data"))
    texts = json.dumps(found)
    assert "perceptual_hash" in texts
    assert "models" in texts  # the extra, by its name


def serves(home: Path) -> None:
    """Upload, an operation without weights, the graph, the viewer with all that its pages name."""
    with _serving(home / "data") as client:
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/ready").status_code == 200
        dataset = _ask(client, 'mutation { createDataset(input: {name: "wheel"}) { id } }')
        picture = BytesIO()
        Image.linear_gradient("L").resize((64, 48)).save(picture, "PNG")
        given = {
            "datasetId": dataset["createDataset"]["id"],
            "base64": base64.b64encode(picture.getvalue()).decode(),
            "filename": "gradient.png",
        }
        made = _ask(
            client, "mutation($i: ImportImageInput!) { importImage(input: $i) { id } }", i=given
        )
        task = {"taskId": "hash", "operation": "perceptual_hash"}
        asked = _ask(
            client,
            "mutation($i: AnalyzeInput!) { analyze(input: $i) { id } }",
            i={"imageId": made["importImage"]["id"], "tasks": [task]},
        )
        analysis = _until_done(client, asked["analyze"][0]["id"])
        assert analysis["result"]["__typename"] == "PerceptualHash", analysis
        _pages_are_whole(client)
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")
        assert "opsin" in client.get("/metrics").text


def _pages_are_whole(client: httpx.Client) -> None:
    for page in ("/", "/docs"):
        text = client.get(page, follow_redirects=True).text
        links = [part.split('"')[0] for part in text.split('="')[1:]]
        paths = [link for link in links if link.startswith("/") and "." in link]
        assert paths, page
        for path in paths:
            assert client.get(path).status_code == 200, path


def _until_done(client: httpx.Client, identity: str) -> dict[str, Any]:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        found: dict[str, Any] = _ask(client, _DONE, id=identity)["analysis"]
        if found["status"] not in ("QUEUED", "PROCESSING"):
            assert found["status"] == "COMPLETED", found
            return found
        time.sleep(0.1)
    raise AssertionError("the analysis was not done")


def restores(home: Path) -> None:
    _opsin("backup", str(home / "backup"), data_dir=home / "data")
    _opsin("restore", str(home / "backup"), data_dir=home / "other")
    with _serving(home / "other") as client:
        asked = "{ images { totalCount nodes { filename url } } }"
        images = _ask(client, asked)["images"]
        assert (images["totalCount"], images["nodes"][0]["filename"]) == (1, "gradient.png")
        assert client.get(images["nodes"][0]["url"]).status_code == 200


def makes_a_plugin(home: Path, source: Path) -> None:
    _opsin("plugins", "new", "sharpness", "--into", str(home), data_dir=home / "data")
    made = {path.name for path in (home / "opsin-sharpness").rglob("*") if path.is_file()}
    assert len(made) == len(list(_files(source / "plugin_template")))
    assert "pyproject.toml" in made


@contextmanager
def _serving(data_dir: Path) -> Iterator[httpx.Client]:
    """`opsin serve`, until it has ended by itself at SIGTERM."""
    server = subprocess.Popen(
        [OPSIN, "serve", "--port", "0"],
        env=_environment(data_dir),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        urls = dict(server.stdout.readline().split(maxsplit=1) for _ in range(3))
        base = urls["Viewer"].strip().rstrip("/")
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
            yield client
        server.send_signal(signal.SIGTERM)
        assert server.wait(LONGEST) == 0
    finally:
        server.kill()
        server.wait()


def _ask(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    body = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in body, body
    data: dict[str, Any] = body["data"]
    return data


def _opsin(*words: str, data_dir: Path | None = None) -> str:
    done = subprocess.run(
        [OPSIN, *words],
        env=_environment(data_dir or Path("unused")),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, f"opsin {' '.join(words)}: {done.stderr}"
    return done.stdout


def _environment(data_dir: Path) -> dict[str, str]:
    """Of this process, without its settings of Opsin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPSIN_")}
    return {**kept, "OPSIN_DATA_DIR": str(data_dir), "OPSIN_LOG_LEVEL": "warning"}


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
