from __future__ import annotations

import platform

import psutil
import pytest
import torch

from sharpfield.train.memory import keep_freed_memory

MIB = 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept() -> None:
    """Of a block that is larger than those which glibc keeps anyway."""
    keep_freed_memory()
    block = torch.ones(128 * MIB // 4)
    resident = psutil.Process().memory_info().rss
    del block
    assert psutil.Process().memory_info().rss > resident - 16 * MIB
