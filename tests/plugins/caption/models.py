"""Model folders of captioners: real architectures and files, seeded weights, made-up words."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from opsin import Acceleration, Folder, LoadContext, LocatedModel, ModelRequirement
from opsin.plugins.caption.plugin import ROLE

kinds: Any = transformers  # most of it tells no types

PLAIN = Acceleration()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, CLS, SEP = 0, 2, 3
SYLLABLES = [c + v for c in "bcdfghklmnprst" for v in "aeiou"]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.3,  # so that pictures differ in what is said of them
}
VISION = SIZES | {"image_size": 48, "patch_size": 16}
FULL_SIZE = 30_522
"""The words of BERT's vocabulary."""
PUBLISHED = {
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "is_decoder": True,
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "return_dict_in_generate": False,
    "torchscript": False,
}
"""What the published files of BLIP say of writing, in their configuration, as was usual then."""


def word_pieces(folder: Path, count: int | None = None) -> int:
    """BERT's kind of tokenizer with words of two syllables, and endings; how many it knows."""
    words = [*SPECIAL, *SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES[:10])]
    if count is not None:
        longer = (a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES)
        words += [word for word, _ in zip(longer, range(count - len(words)), strict=False)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    kinds.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return len(words)


def byte_pairs(folder: Path, *special: str, **more: Any) -> Any:
    """GPT-2's kind of tokenizer: all bytes, no merges, and the special tokens behind them."""
    tokens = [*sorted(ByteLevel.alphabet()), *special]
    backend = Tokenizer(BPE({token: number for number, token in enumerate(tokens)}, []))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    tokenizer = kinds.PreTrainedTokenizerFast(
        tokenizer_object=backend, additional_special_tokens=list(special), **more
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def blip_folder(folder: Path, *, full_size: bool = False, end_bias: float = 0.0) -> Path:
    """BLIP; of full size it is that of blip-image-captioning-base."""
    words = word_pieces(folder, FULL_SIZE if full_size else None)
    vocabulary = {
        "vocab_size": words + 2,
        "bos_token_id": words,  # beyond the tokenizer's own words, as published
        "pad_token_id": PAD,
        "eos_token_id": 2,
        "sep_token_id": 102 if full_size else SEP,
    }
    if full_size:
        # By default 1e-10, with which an untrained encoder sees nothing.
        vision = {"image_size": 384, "initializer_range": 0.02}
        config = kinds.BlipConfig(text_config=vocabulary, vision_config=vision)
    else:
        text = SIZES | {"encoder_hidden_size": 32, "max_position_embeddings": 64}
        config = kinds.BlipConfig(text_config=text | vocabulary, vision_config=VISION)
    torch.manual_seed(0)
    model = kinds.BlipForConditionalGeneration(config)
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[vocabulary["sep_token_id"]] += end_bias
    model.save_pretrained(folder)
    if full_size:
        (folder / "generation_config.json").unlink()
        told = json.loads((folder / "config.json").read_text())
        rewrite(folder, "config.json", text_config=told["text_config"] | PUBLISHED)
    side = config.vision_config.image_size
    kinds.BlipImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def git_folder(folder: Path) -> Path:
    words = word_pieces(folder)
    config = kinds.GitConfig(
        vision_config=VISION,
        vocab_size=words,
        max_position_embeddings=64,
        bos_token_id=CLS,
        eos_token_id=SEP,
        pad_token_id=PAD,
        **SIZES,
    )
    torch.manual_seed(0)
    kinds.GitForCausalLM(config).save_pretrained(folder)
    kinds.CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=48).save_pretrained(folder)
    return folder


def vit_gpt2_folder(folder: Path, **generation: Any) -> Path:
    """A vision encoder with a text decoder; `generation` is how it is configured to write."""
    tokenizer = byte_pairs(folder, "<|endoftext|>", eos_token="<|endoftext|>")
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    decoder = kinds.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        initializer_range=0.3,
        add_cross_attention=True,
        bos_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(0)
    model = kinds.VisionEncoderDecoderModel(
        encoder=kinds.ViTModel(kinds.ViTConfig(**VISION)),
        decoder=kinds.GPT2LMHeadModel(decoder),
    )
    model.generation_config.decoder_start_token_id = end
    model.generation_config.pad_token_id = end
    model.generation_config.eos_token_id = end
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    kinds.ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def llava_folder(folder: Path) -> Path:
    """A model that takes instructions, by its chat template."""
    tokenizer = byte_pairs(folder, "<image>", "<end>", eos_token="<end>", pad_token="<end>")
    image, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<image>", "<end>"))
    text = kinds.LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=512, **SIZES)
    config = kinds.LlavaConfig(
        vision_config=kinds.CLIPVisionConfig(**VISION),
        text_config=text,
        image_token_index=image,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = kinds.LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = end
    model.save_pretrained(folder)
    kinds.LlavaProcessor(
        kinds.CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=48),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


def context_of(
    folder: Path,
    files: tuple[str, ...] = (),
    *,
    device: str = "cpu",
    acceleration: Acceleration = PLAIN,
) -> LoadContext:
    """What the operation is loaded with when the operator has chosen the folder, or files of it."""
    files = files or tuple(sorted(path.name for path in folder.iterdir()))
    requirement = ModelRequirement(ROLE, folder.name, Folder(folder, files), "MIT")
    paths = tuple(folder / file for file in files)
    located = LocatedModel(requirement, paths, "0" * 64, folder)
    return LoadContext(device, {ROLE: located}, acceleration)


def rewrite(folder: Path, file: str, **changes: Any) -> None:
    """Other values in a JSON file of the folder."""
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
