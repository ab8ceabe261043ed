"""Hash-grid encoding: one signature; numba on CPU, plain torch elsewhere."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops import hash_cpu
from sharpfield.ops.dispatch import use_cpu_kernels
from sharpfield.ops.hash_reference import hash_encode_reference
from sharpfield.ops.hash_spec import HashSpec


def hash_encode(
    points: Float[Tensor, "points 3"], table: Float[Tensor, "rows 2"], spec: HashSpec
) -> Float[Tensor, "points width"]:
    """Encode points of the unit cube; differentiable in the points and the table.

    On CPU the result lies feature by feature in memory.
    """
    if use_cpu_kernels(points, table):
        return _HashEncode.apply(points, table, spec)
    return hash_encode_reference(points, table, spec)


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, spec: HashSpec) -> Tensor:
        axes = points.detach().T.contiguous()
        out = torch.empty(spec.width, len(points))
        hash_cpu.encode(
            axes.numpy(), table.detach().numpy(), *_arrays(spec),
            numba.get_num_threads(), out.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(axes, table)
        ctx.spec = spec
        return out.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        axes, table = ctx.saved_tensors
        upstream = gradient.T.contiguous().numpy()
        arrays = _arrays(ctx.spec)
        point_gradient = table_gradient = None
        if ctx.needs_input_grad[0]:
            point_gradient = torch.zeros_like(axes)
            hash_cpu.point_gradient(
                axes.numpy(), table.detach().numpy(), upstream, *arrays,
                numba.get_num_threads(), point_gradient.numpy(),
            )  # fmt: skip
            point_gradient = point_gradient.T
        if ctx.needs_input_grad[1]:
            table_gradient = torch.empty_like(table)
            order = np.argsort(np.arange(ctx.spec.levels) % 2, kind="stable")
            hash_cpu.scatter_table_gradient(
                axes.numpy(), upstream, *arrays, order, table_gradient.numpy()
            )
        return point_gradient, table_gradient, None


def _arrays(spec: HashSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return spec.resolutions, spec.offsets, spec.hashed
