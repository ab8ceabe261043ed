"""Two-layer perceptrons over very many rows: one signature; numba on CPU, plain torch elsewhere."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops import mlp_cpu
from sharpfield.ops.dispatch import use_cpu_kernels


def mlp(
    rows: Float[Tensor, "rows inputs"],
    w1: Float[Tensor, "inputs hidden"],
    w2: Float[Tensor, "hidden outputs"],
) -> Float[Tensor, "rows outputs"]:
    """``relu(rows @ w1) @ w2``; on CPU the hidden layer is computed again in the backward pass.

    On CPU the result lies feature by feature in memory, and rows that do so are not copied.
    """
    if use_cpu_kernels(rows, w1, w2):
        return _Mlp.apply(rows, w1, w2)
    return mlp_reference(rows, w1, w2)


def mlp_reference(rows: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """The twin of the numba kernel."""
    return F.relu(rows @ w1) @ w2


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        columns, w1, w2 = rows.T.contiguous(), w1.contiguous(), w2.contiguous()
        out = torch.empty(w2.shape[1], len(rows))
        mlp_cpu.mlp(columns.detach().numpy(), w1.detach().numpy(), w2.detach().numpy(), out.numpy())
        ctx.save_for_backward(columns, w1, w2)
        return out.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        columns, w1, w2 = ctx.saved_tensors
        needs_rows = ctx.needs_input_grad[0]
        d_columns = torch.empty(columns.shape if needs_rows else (columns.shape[0], 0))
        d_w1, d_w2 = torch.empty(w1.shape), torch.empty(w2.shape)
        mlp_cpu.mlp_gradient(
            columns.detach().numpy(), w1.detach().numpy(), w2.detach().numpy(),
            gradient.T.contiguous().numpy(), needs_rows,
            d_columns.numpy(), d_w1.numpy(), d_w2.numpy(),
        )  # fmt: skip
        return d_columns.T if needs_rows else None, d_w1, d_w2
