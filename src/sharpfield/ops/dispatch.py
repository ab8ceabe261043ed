"""Which implementation of a hot loop runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def use_cpu_kernels(*tensors: Tensor) -> bool:
    """Whether the numba kernels apply: every tensor is float32 and lies in CPU memory."""
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Tensors in CPU memory as numba kernels take them; contiguous ones are not copied."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
