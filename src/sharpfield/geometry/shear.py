"""Cameras that shear: what a lens, or a point beside the pixel, does to a ray."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def shifted_and_sheared(
    shift: Float[Tensor, "*batch 2"], shear: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch 3 4"]:
    """Matrices that move a camera by ``shift`` along its x and y axes and shear its directions.

    Directions have depth 1, z = -1, so that each loses ``shear``. No rigid motions, but used like
    poses.
    """
    columns = F.pad(torch.stack([shear, shift], dim=-1), (2, 0, 0, 1))
    return torch.eye(3, 4, dtype=columns.dtype, device=columns.device) + columns
