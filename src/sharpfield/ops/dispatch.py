"""Which implementation of a hot loop runs."""

from __future__ import annotations

import torch
from torch import Tensor


def use_cpu_kernels(*tensors: Tensor) -> bool:
    """Whether the numba kernels apply: every tensor is float32 and lies in CPU memory."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
