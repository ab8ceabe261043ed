"""Hash-grid encoding in plain torch: the fast kernels' twin, and the path for other devices."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops.hash_spec import PRIMES, HashSpec


def hash_encode_reference(
    points: Float[Tensor, "points 3"], table: Float[Tensor, "rows 2"], spec: HashSpec
) -> Float[Tensor, "points width"]:
    """Trilinear lookup of every level; points outside [0, 1] are clamped."""
    corners = torch.tensor(list(itertools.product((0, 1), repeat=3)), device=points.device)
    encoded = []
    for level in range(spec.levels):
        resolution = torch.as_tensor(spec.resolutions[level], device=points.device)
        scaled = points.clamp(0.0, 1.0) * resolution
        cell = torch.minimum(scaled.detach().long(), resolution - 1)
        fraction = (scaled - cell)[:, None]
        x, y, z = torch.where(corners.bool(), fraction, 1.0 - fraction).unbind(-1)
        first, end = int(spec.offsets[level]), int(spec.offsets[level + 1])
        vertex = cell[:, None] + corners
        rows = first + _rows(vertex, resolution, bool(spec.hashed[level]), end - first)
        # On a GPU, the gradient of indexing sorts all rows; that of index_select does not.
        found = table.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        encoded.append(((x * y * z)[..., None] * found).sum(1))
    return torch.cat(encoded, dim=1)


def _rows(vertex: Tensor, resolution: Tensor, hashed: bool, rows: int) -> Tensor:
    x, y, z = vertex.unbind(-1)
    if hashed:
        return (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) & (rows - 1)
    side = resolution + 1
    return x + side[0] * (y + side[1] * z)
