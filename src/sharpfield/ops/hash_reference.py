"""Hash-grid encoding in plain torch: the fast kernels' twin, and the path for other devices."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops.hash_spec import PRIMES, HashSpec


def hash_encode_reference(
    points: Float[Tensor, "points 3"], table: Float[Tensor, "rows 2"], spec: HashSpec
) -> Float[Tensor, "points width"]:
    """Trilinear lookup of every level; points outside [0, 1] are clamped."""
    encoded = []
    for level in range(spec.levels):
        resolution = torch.as_tensor(spec.resolutions[level], device=points.device)
        scaled = points.clamp(0.0, 1.0) * resolution
        cell = torch.minimum(scaled.detach().long(), resolution - 1)
        fraction = scaled - cell
        first, end = int(spec.offsets[level]), int(spec.offsets[level + 1])
        total = table.new_zeros(len(points), table.shape[1])
        for corner in range(8):
            bits = torch.tensor(
                [corner & 1, corner >> 1 & 1, corner >> 2 & 1], device=points.device
            )
            weight = torch.where(bits.bool(), fraction, 1.0 - fraction).prod(dim=1)
            rows = first + _row(cell + bits, resolution, bool(spec.hashed[level]), end - first)
            total = total + weight[:, None] * table[rows]
        encoded.append(total)
    return torch.cat(encoded, dim=1)


def _row(vertex: Tensor, resolution: Tensor, hashed: bool, rows: int) -> Tensor:
    if hashed:
        mixed = vertex[:, 0] * PRIMES[0] ^ vertex[:, 1] * PRIMES[1] ^ vertex[:, 2] * PRIMES[2]
        return mixed & (rows - 1)
    side = resolution + 1
    return vertex[:, 0] + side[0] * (vertex[:, 1] + side[1] * vertex[:, 2])
