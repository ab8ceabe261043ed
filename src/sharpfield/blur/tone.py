"""Tone curves from linear light to the colours of a photo (Deblur-NeRF, section 3.4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

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
