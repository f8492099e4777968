"""Small networks with random weights."""

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.relu(pixels + self.inner(pixels))


def residual_network(dimensions: int = 64) -> nn.Module:
    """Pixels, batch x 3 x height x width, to vectors, with statistics as after a training."""
    network = nn.Sequential(
        nn.Conv2d(3, 32, 7, stride=4, padding=3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Residual(32),
        Residual(32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, dimensions),
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network
