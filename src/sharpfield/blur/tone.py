"""Tone curves from linear light to the colours of a photo (Deblur-NeRF, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.config import ToneName

ToneCurve: TypeAlias = Callable[[Tensor], Tensor]
"""From linear light to photo colours, both (..., 3)."""

GAMMA = 2.2

TOE = 0.001
"""Linear light below which the gamma curve goes on as a straight line: its slope stays finite."""


def gamma_curve(linear: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """``linear ** (1 / 2.2)``, with a linear toe of equal value at ``TOE``; black stays black."""
    toe_slope = TOE ** (1 / GAMMA - 1)
    return torch.where(linear < TOE, linear * toe_slope, linear.clamp(min=TOE) ** (1 / GAMMA))


def to_linear(display: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The inverse of ``gamma_curve``."""
    toe_slope = TOE ** (1 / GAMMA - 1)
    return torch.where(display < TOE * toe_slope, display / toe_slope, display**GAMMA)


class LearnedTone(nn.Module):
    """A learned curve, the same for all channels: ``sigmoid(x + f(x) / 10)`` (Deblur-NeRF).

    For fields whose colours have no bounds of their own; a grey of 0 starts near a half.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 16),
            nn.ReLU(),
            nn.Linear(16, 16),
            nn.ReLU(),
            nn.Linear(16, 16),
            nn.ReLU(),
            nn.Linear(16, 1),
        )

    def __call__(self, linear: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Display colours in (0, 1) of linear ones."""
        return torch.sigmoid(linear + 0.1 * self.layers(linear[..., None])[..., 0])


def build_tone(name: ToneName) -> ToneCurve:
    """The tone curve of a setting; a learned one is a module."""
    curves: dict[ToneName, Callable[[], ToneCurve]] = {
        "none": nn.Identity,
        "gamma": lambda: gamma_curve,
        "learn": LearnedTone,
    }
    return curves[name]()
