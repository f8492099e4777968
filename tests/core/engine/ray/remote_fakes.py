"""Operations that tell what became of their items, wherever they run; importable in any process."""

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from opsin.core.contract import (
    Box,
    Embedding,
    Folder,
    Input,
    Item,
    Loadable,
    LoadContext,
    ModelRequirement,
    Operation,
    Params,
    Reference,
    Region,
    RegionFinder,
    Result,
    Runner,
    Target,
    TextEmbedder,
)
from opsin.core.errors import InvalidImage, OperationUnavailable, PluginError, RegionNotFound
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from tests.core.engine.workbench import host_of


class TellParams(Params):
    mark: int = 0
    key: int = 0
    seconds: float = 0.0
    does: str = ""


class Told(Result):
    mark: int
    shape: tuple[int, ...]
    pixels: int
    """The sum of the picture's values."""
    writeable: bool
    batch: tuple[int, ...]
    """The marks of the items that were run together."""
    process: int
    inputs: tuple[int, ...] = ()
    seen_region: Box | None = None
    weights: str = ""


class Unsendable(Result):
    """A result that no pickle takes."""

    mark: int

    def __reduce__(self) -> Any:
        raise TypeError("not for travelling")


class Tell(Operation[TellParams, Told]):
    """Answers with what it saw; `does` has it do something else first."""

    name = "tell"
    held: Path | None
    version = "1"
    description = "Tells what it saw."
    params = TellParams
    result = Told
    deterministic = False

    def __init__(
        self,
        name: str = "tell",
        weights: Path | None = None,
        held: Path | None = None,
        **declared: Any,
    ) -> None:
        vars(self).update(declared, name=name, held=held)
        if weights is not None:
            folder = Folder(weights, ("model.safetensors",))
            self.models = (ModelRequirement("network", name, folder, "MIT"),)

    def inputs(self, params: TellParams, reference: Reference | None) -> Sequence[Input]:
        return [Input("told_first", params={"mark": params.mark})] if params.does == "asks" else []

    def load(self, context: LoadContext) -> "TellRunner":
        if self.name == "unloadable":
            raise OperationUnavailable("unloadable cannot be loaded on this machine")
        if self.name == "ends_loading":
            os._exit(3)
        self._hold()
        weights = context.models["network"].fingerprint if context.models else ""
        return TellRunner(weights)

    def _hold(self) -> None:
        """Load for ever while a file `held` is there; what is in it says how."""
        if self.held is None or not self.held.exists():
            return
        with self.held.with_name("loading").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.held.read_text() == "in C":  # which never gives the interpreter back
            ctypes.PyDLL(None).sleep(3600)
        time.sleep(3600)


class TellRunner(Runner[TellParams, Any]):
    max_batch = 8

    def __init__(self, weights: str) -> None:
        self.weights = weights

    def prepare(self, item: Item[TellParams]) -> Item[TellParams]:
        if item.params.does == "fails to prepare":
            raise InvalidImage("this one cannot be prepared")
        return item

    def batch_key(self, prepared: Item[TellParams]) -> int:
        return prepared.params.key

    def run(self, batch: Sequence[Item[TellParams]]) -> Sequence[Any]:
        for item in batch:
            self._do(item)
        time.sleep(max(item.params.seconds for item in batch))
        return [self._told(item, batch) for item in batch]

    def _do(self, item: Item[TellParams]) -> None:
        match item.params.does:
            case "fails":
                raise ValueError("bad item")
            case "finds nothing":
                raise RegionNotFound("person", "7")
            case "plugin error":
                raise PluginError("fakes", "of its own")
            case "exits":
                raise SystemExit(1)
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                time.sleep(3600)
            case "writes":
                for text in ("a", "a b", "a b c"):
                    item.progress(text)
                    time.sleep(0.5)

    def _told(self, item: Item[TellParams], batch: Sequence[Item[TellParams]]) -> Result:
        if item.params.does == "cannot travel":
            return Unsendable(mark=item.params.mark)
        return Told(
            mark=item.params.mark,
            shape=item.picture.shape,
            pixels=int(item.picture.astype(int).sum()),
            writeable=item.picture.flags.writeable,
            batch=tuple(other.params.mark for other in batch),
            process=os.getpid(),
            inputs=tuple(found.mark for found in item.inputs if isinstance(found, Told)),
            seen_region=item.region.box if item.region else None,
            weights=self.weights,
        )


class Left(RegionFinder):
    """Finds the left half of every picture that is not black."""

    name = "left_half"
    version = "1"
    target = Target.PROMINENT_PERSON

    def load(self, context: LoadContext) -> "LeftRunner":
        return LeftRunner()


class LeftRunner(Runner[Params, Region | None]):
    def run(self, batch: Sequence[Item[Params]]) -> Sequence[Region | None]:
        return [self._found(item) for item in batch]

    def _found(self, item: Item[Params]) -> Region | None:
        height, width = item.picture.shape[:2]
        if not item.picture.any():
            return None
        return Region(Box(x_min=0, y_min=0, x_max=width // 2, y_max=height), 0.9)


class Lengths(TextEmbedder):
    """A text's vector is its length."""

    name = "lengths"
    version = "1"
    operation = "tell"

    def load(self, context: LoadContext) -> "LengthsRunner":
        return LengthsRunner()


class LengthsRunner(Runner[Any, Embedding]):
    def run(self, batch: Sequence[str]) -> Sequence[Embedding]:
        return [
            Embedding(
                dimensions=2,
                normalized=False,
                model_fingerprint="f",
                vector=(float(len(text)), 0.0),
            )
            for text in batch
        ]


def parts(folder: Path | None = None) -> list[Loadable]:
    weights = None if folder is None else folder / "weights"
    return [
        Tell(weights=weights),
        Tell("told_first"),
        Tell("unloadable"),
        Tell("ends_loading"),
        Tell("held", held=None if folder is None else folder / "held"),
        Left(),
        Lengths(),
    ]


def open_fakes(folder: Path | None) -> tuple[PluginHost, ModelStore]:
    """Called in every process of the cluster."""
    models = Path("no-models") if folder is None else folder / "models"
    return host_of(*parts(folder)), ModelStore(models)


def opener(folder: Path | None = None) -> Any:
    return partial(open_fakes, folder)
