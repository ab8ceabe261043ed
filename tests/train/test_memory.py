from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sharpfield.train.memory import forget_peak_memory

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


def test_a_system_that_does_not_let_go_of_the_peak_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path, tmp_path / "missing" / "clear_refs"):  # a folder cannot be written
        monkeypatch.setattr("sharpfield.train.memory.CLEAR_REFS", path)
        forget_peak_memory(torch.device("cpu"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", FREE_A_BLOCK], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) < 16 * MIB
