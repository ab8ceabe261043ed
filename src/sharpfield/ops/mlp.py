"""Two-layer perceptrons over very many rows, evaluated in blocks that stay in cache."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops.dispatch import use_cpu_kernels

BLOCK = 16384
"""Rows per block: activations of 32 units then take 2 MiB."""


def mlp(
    rows: Float[Tensor, "rows inputs"],
    w1: Float[Tensor, "inputs hidden"],
    w2: Float[Tensor, "hidden outputs"],
) -> Float[Tensor, "rows outputs"]:
    """``relu(rows @ w1) @ w2``; on CPU the hidden layer is computed again in the backward pass."""
    if use_cpu_kernels(rows, w1):
        return _BlockedMlp.apply(rows, w1, w2)
    return mlp_reference(rows, w1, w2)


def mlp_reference(rows: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """The twin of the blocked evaluation."""
    return F.relu(rows @ w1) @ w2


class _BlockedMlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        ctx.save_for_backward(rows, w1, w2)
        out = rows.new_empty(len(rows), w2.shape[1])
        for start in range(0, len(rows), BLOCK):
            hidden = (rows[start : start + BLOCK] @ w1).relu_()
            torch.mm(hidden, w2, out=out[start : start + BLOCK])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        rows, w1, w2 = ctx.saved_tensors
        d_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        d_w1, d_w2 = torch.zeros_like(w1), torch.zeros_like(w2)
        for start in range(0, len(rows), BLOCK):
            x, upstream = rows[start : start + BLOCK], gradient[start : start + BLOCK]
            hidden = (x @ w1).relu_()
            d_w2.addmm_(hidden.t(), upstream)
            d_hidden = torch.ops.aten.threshold_backward(upstream @ w2.t(), hidden, 0)
            d_w1.addmm_(x.t(), d_hidden)
            if d_rows is not None:
                torch.mm(d_hidden, w1.t(), out=d_rows[start : start + BLOCK])
        return d_rows, d_w1, d_w2
