"""The exponential map of SE(3) for the motions of a step: small, but asked for at every one."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.geometry import se3
from sharpfield.ops import exponential_cpu
from sharpfield.ops.dispatch import use_cpu_kernels


def exponential(twist: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 4"]:
    """As ``geometry.se3.exponential``, its twin in plain torch, which has a hundred small parts."""
    if use_cpu_kernels(twist):
        motions: Tensor = _Exponential.apply(twist)
        return motions
    return se3.exponential(twist)


class _Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, twist: Tensor) -> Tensor:
        twist = twist.contiguous()
        motions = torch.empty(*twist.shape[:-1], 3, 4)
        exponential_cpu.exponential(
            twist.detach().view(-1, 6).numpy(), motions.view(-1, 3, 4).numpy()
        )
        ctx.save_for_backward(twist)
        return motions

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (twist,) = ctx.saved_tensors
        gradient = torch.empty_like(twist)
        exponential_cpu.exponential_gradient(
            twist.detach().view(-1, 6).numpy(),
            upstream.contiguous().view(-1, 3, 4).numpy(),
            gradient.view(-1, 6).numpy(),
        )
        return gradient
