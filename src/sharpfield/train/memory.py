"""Memory of this process: its peak, and that what is freed stays ours."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What resets the peak of the resident memory there (proc(5))."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3), as glibc numbers them."""


def keep_freed_memory() -> None:
    """For the rest of this process, memory that is freed is used again, not given back.

    Each step frees gradients as large as the table of features, and the next one would have the
    system clear as many new pages. Only glibc can be told; elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)


def forget_peak_memory(device: torch.device) -> None:
    """Start the measurement anew, where the system can: on CUDA and on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # other systems lack the file, some containers forbid it
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory_bytes(device: torch.device) -> int:
    """Highest memory since ``forget_peak_memory`` or the start: allocated (CUDA), or resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
