"""What is needed beside Opsin's own packages: wrk, and the peers in a folder of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONNECTIONS = 12
"""To PostgreSQL, of each server but Opsin, which opens 16: all run at once, and 100 is the most."""

# Without their dependencies: those are Opsin's, so that every contestant runs on the same ones.
_PYTHON_PEERS = ("strawchemy==0.24.0", "msgspec", "python-dateutil")
_NODE_PEERS = ("postgraphile@5.1.5", "graphql", "node@22")
_PRESET = """import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makePgService } from "postgraphile/adaptors/pg";
export default {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({
    connectionString: process.env.DATABASE_URL, schemas: ["public"],
    poolConfig: { max: Number(process.env.CONNECTIONS) },
  })],
  schema: { defaultBehavior: "+connection +list" },
  grafserv: { host: "127.0.0.1", port: Number(process.env.PORT), graphiql: false, watch: false },
};
"""


def check_tools() -> None:
    """Leaves with a hint when a program is missing."""
    hints = {
        "wrk": "apt-get install wrk",
        "taskset": "apt-get install util-linux",
        "npm": "apt-get install npm, or https://nodejs.org",
    }
    missing = [f"{name} ({hint})" for name, hint in hints.items() if shutil.which(name) is None]
    if missing:
        sys.exit(f"bench.reads needs {', '.join(missing)}")


def install_peers(folder: Path) -> None:
    """Strawchemy into `folder`/python, PostGraphile and its Node into `folder`/node; once."""
    python, node = folder / "python", folder / "node"
    if not (python / "strawchemy").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*pip, str(python), *_PYTHON_PEERS], check=True)
    if not (node / "node_modules" / "postgraphile").exists():
        node.mkdir(parents=True, exist_ok=True)
        (node / "package.json").write_text("{}")
        npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run([*npm, *_NODE_PEERS], cwd=node, check=True, stdout=sys.stderr)
    (node / "graphile.config.mjs").write_text(_PRESET)


def postgraphile_command(folder: Path) -> list[str]:
    """PostGraphile under the Node that came with it; the machine's own may be too old."""
    programs = folder / "node" / "node_modules" / ".bin"
    return [str(programs / "node"), str(programs / "postgraphile")]


def python_path(folder: Path) -> str:
    """`PYTHONPATH` with Strawchemy in it, and `bench` itself."""
    repository = Path(__file__).parents[2]
    return os.pathsep.join([str(repository), str(folder / "python")])
