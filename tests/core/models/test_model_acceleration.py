"""How models are to compute, as the operator's file says, and what it says in vain."""

from pathlib import Path
from typing import Any

import pytest

from opsin.core.contract import (
    Acceleration,
    Folder,
    LoadContext,
    LocatedModel,
    ModelRequirement,
    Operation,
    Precision,
    TextEmbedder,
)
from opsin.core.engine.provenance import ModelUsed, models_used
from opsin.core.errors import ConfigurationError
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.store import ModelStore
from tests.core.model_stores import operation

BFLOAT16 = Acceleration(Precision.BFLOAT16)


def accelerating(name: str, *models: ModelRequirement) -> Operation[Any, Any]:
    made = operation(*models, called=name)
    type(made).accelerates = True
    return made


def with_channels_last(name: str) -> Operation[Any, Any]:
    """One that is never compiled, and has channels last of its own accord."""
    made = accelerating(name)
    type(made).acceleration = Acceleration(channels_last=True)
    type(made).compiles = False
    return made


class Texts(TextEmbedder):
    name = "embed_texts"
    version = "1"
    operation = "embed"
    accelerates = True

    def load(self, context: LoadContext) -> Any:
        raise NotImplementedError


def read(tmp_path: Path, text: str) -> ModelConfiguration:
    file = tmp_path / "models.toml"
    file.write_text(text, "utf-8")
    return ModelConfiguration.read(file)


def test_everything_is_float32_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    for configuration in (ModelConfiguration(), read(tmp_path, "")):
        assert configuration.acceleration_of(accelerating("embed")) == Acceleration()


def test_of_all_and_of_one(tmp_path: Path) -> None:
    configuration = read(
        tmp_path,
        """
        [acceleration]
        precision = "bfloat16"

        [embed.acceleration]
        channels_last = true
        compile = true

        [exact.acceleration]
        precision = "float32"
        """,
    )
    of = configuration.acceleration_of
    assert of(accelerating("other")) == BFLOAT16
    assert of(accelerating("embed")) == Acceleration(Precision.BFLOAT16, True, True)
    assert of(accelerating("exact")) == Acceleration()
    assert of(Texts()) == of(accelerating("embed")), "they share a model, and a space"
    assert of(operation(called="embed")) == Acceleration(), "it does not accelerate"
    assert configuration.unused([accelerating("embed"), accelerating("exact"), Texts()]) == []


def test_models_and_acceleration_of_one_operation(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    configuration = read(
        tmp_path,
        '[embed.encoder]\nfolder = "ours"\n[embed.acceleration]\nprecision = "bfloat16"\n',
    )
    encoder = ModelRequirement("encoder", "e", Folder(tmp_path / "theirs"), "MIT")
    embed = accelerating("embed", encoder)
    (model,) = configuration.models_of(embed)
    assert model.origin == Folder(tmp_path / "ours")
    assert configuration.acceleration_of(embed) == BFLOAT16


def test_a_runner_is_told(tmp_path: Path) -> None:
    configuration = read(tmp_path, '[acceleration]\nprecision = "float16"\n')
    store = ModelStore(tmp_path, configuration=configuration)
    embed = accelerating("embed")
    assert store.acceleration_of(embed) == Acceleration(Precision.FLOAT16)
    assert store.context(embed, "cuda:0").acceleration == Acceleration(Precision.FLOAT16)
    with pytest.raises(ConfigurationError, match="on the CPU use bfloat16 or float32"):
        store.context(embed, "cpu")
    assert store.context(operation(called="plain"), "cpu").acceleration == Acceleration()


def test_a_way_of_ones_own_holds_where_nothing_else_is_chosen(tmp_path: Path) -> None:
    configuration = read(
        tmp_path,
        "[acceleration]\nprecision = 'bfloat16'\ncompile = true\n"
        "[plain.acceleration]\nchannels_last = false\n",
    )
    of = configuration.acceleration_of
    assert of(with_channels_last("own")) == Acceleration(Precision.BFLOAT16, channels_last=True)
    assert of(with_channels_last("plain")) == Acceleration(Precision.BFLOAT16)
    fixed = with_channels_last("own")
    type(fixed).accelerates = False
    assert of(fixed) == Acceleration(channels_last=True)
    assert configuration.unused([with_channels_last("plain")]) == []


def test_a_model_that_does_not_accelerate_is_told_as_plain(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    models = [
        ModelRequirement("encoder", "e", folder, "MIT"),
        ModelRequirement("detector", "d", folder, "MIT", accelerates=False),
    ]
    how = Acceleration(Precision.BFLOAT16, channels_last=True, compile=True)
    located = {model.role: LocatedModel(model, (), model.name * 8) for model in models}
    assert models_used(LoadContext("cpu", located, how)) == (
        ModelUsed("detector", "d", "dddddddd"),
        ModelUsed("encoder", "e", "eeeeeeee", "bfloat16", channels_last=True, compiled=True),
    )


def test_tables_that_change_nothing_are_named(tmp_path: Path) -> None:
    configuration = read(
        tmp_path,
        "[emb.acceleration]\n[plain.acceleration]\n[embed.acceleration]\n[embed_texts.acceleration]\n"
        "[own.acceleration]\ncompile = true",
    )
    own = with_channels_last("own")
    loadables = (operation(called="plain"), accelerating("embed"), Texts(), own)
    assert configuration.unused(loadables) == [
        "OPSIN_MODELS: models.toml line 1, [emb.acceleration]: "
        "there is no operation or region finder 'emb'",
        "OPSIN_MODELS: models.toml line 2, [plain.acceleration]: "
        "'plain' has no use for it, it is always float32",
        "OPSIN_MODELS: models.toml line 4, [embed_texts.acceleration]: "
        "there is no operation or region finder 'embed_texts'",
        "OPSIN_MODELS: models.toml line 5, [own.acceleration]: "
        "key 'compile': 'own' is never compiled",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[acceleration]\nprecision = 'int8'", r"line 1, \[acceleration\]: key 'precision': Input"),
        ("\n[ acceleration ]\nfast = true", r"line 2, \[acceleration\]: key 'fast': is not known"),
        ("[e.acceleration]\ncompile = 1", r"line 1, \[e\.acceleration\]: key 'compile': Input"),
        ("acceleration = 'bfloat16'", r"models\.toml, \[acceleration\]: must be a table"),
        ("e.acceleration = 3", r"models\.toml, \[e\.acceleration\]: must be a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^OPSIN_MODELS: .*{words}"):
        read(tmp_path, text)
