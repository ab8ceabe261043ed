from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MIB = 2**20

FREE_A_BLOCK = f"""
import psutil, torch
from sharpfield.train.memory import keep_freed_memory
keep_freed_memory()
block = torch.ones({128 * MIB // 4})
before = psutil.Process().memory_info().rss
del block
print(before - psutil.Process().memory_info().rss)
"""
"""Larger than those that glibc keeps anyway. Alone, since others may have left holes it fits in."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", FREE_A_BLOCK], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) < 16 * MIB
