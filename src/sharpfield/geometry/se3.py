"""Rigid motions: the exponential map of SE(3), safe at the identity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def exponential(twist: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 4"]:
    """Motion of a twist (rotation in radians, translation): ``expm`` of the 4x4 twist matrix.

    Rodrigues' formula (Lynch and Park, "Modern Robotics", equation 3.88), with Taylor series for
    small angles, so that values and gradients are finite at zero.
    """
    rotation, translation = twist[..., :3], twist[..., 3:]
    squared = (rotation**2).sum(-1)[..., None, None]
    small = squared < 1e-4
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    a = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    b = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, (1 - angle.cos()) / safe)
    c = torch.where(
        small, 1 / 6 - squared / 120 + squared**2 / 5040, (angle - angle.sin()) / (safe * angle)
    )
    cross = skew(rotation)
    cross2 = cross @ cross
    identity = torch.eye(3, dtype=twist.dtype, device=twist.device)
    turned = identity + a * cross + b * cross2
    moved = (identity + b * cross + c * cross2) @ translation[..., None]
    return torch.cat([turned, moved], dim=-1)


def skew(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix of the cross product with ``vector``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def compose(
    first: Float[Tensor, "*#batch 3 4"], second: Float[Tensor, "*#batch 3 4"]
) -> Float[Tensor, "*batch 3 4"]:
    """``first @ second`` as rigid motions: ``second`` acts in the frame of ``first``."""
    moved = first[..., :3] @ second
    return moved + F.pad(first[..., 3:], (3, 0))
