"""What a picture costs in the stages of the default cetacean manifest, by batch size and layout.

`python -m bench.cetacean_batches [--device cpu] [--threads 2]`; random weights at full size.
"""

import argparse
import time
from collections.abc import Callable

import timm
import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

SIZES = (1, 2, 4, 8)
ROUNDS = 5


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=2)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    embedder = timm.create_model("tf_efficientnet_b4", num_classes=0).eval().to(chosen.device)
    gate = CLIPVisionModelWithProjection(CLIPVisionConfig(patch_size=32)).eval().to(chosen.device)
    print("| stage | " + " | ".join(f"batch of {size}" for size in SIZES) + " |")
    print("| --- |" + " --- |" * len(SIZES))
    for name, network, side, layout in (
        ("embedder", embedder, 512, torch.contiguous_format),
        ("embedder, channels last", embedder, 512, torch.channels_last),
        ("gate", gate, 224, torch.contiguous_format),
    ):
        network.to(memory_format=layout)
        row = [_milliseconds(network, size, side, layout, chosen.device) for size in SIZES]
        print(f"| {name} | " + " | ".join(f"{one:.0f} ms" for one in row) + " |", flush=True)


@torch.inference_mode()
def _milliseconds(
    network: Callable[..., object], size: int, side: int, layout: torch.memory_format, device: str
) -> float:
    """Per picture, the best of some rounds: others on this machine only make it slower."""
    batch = torch.randn(size, 3, side, side, device=device).contiguous(memory_format=layout)
    best = float("inf")
    for _ in range(ROUNDS + 1):  # the first one also sets up
        started = time.perf_counter()
        network(batch)
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - started) / size)
    return 1000 * best


if __name__ == "__main__":
    main()
