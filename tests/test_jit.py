"""Kernels are kept where they can be, and run where they cannot."""

import os
from pathlib import Path
from typing import Any

import pytest

from sharpfield.jit import cached_njit, forget_older_kernels

SOURCE = "def triple(x):\n    return 3 * x\n"


def defined_at(path: Path) -> Any:
    """The function of SOURCE as a module at ``path`` would define it."""
    names: dict[str, Any] = {}
    exec(compile(SOURCE, path, "exec"), names)
    return names["triple"]


def test_compiled_code_is_kept_beside_the_source(tmp_path: Path) -> None:
    path = tmp_path / "kernels.py"
    path.write_text(SOURCE)
    assert cached_njit(fastmath=True)(defined_at(path))(2.0) == 6.0
    assert list(tmp_path.glob("__pycache__/kernels.triple*.nbc"))


def test_a_kernel_without_a_place_to_be_kept_runs_all_the_same(tmp_path: Path) -> None:
    """numba has no place for the code of a file that it does not find."""
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR"):
        triple = cached_njit()(defined_at(tmp_path / "missing.py"))
    assert triple(2.0) == 6.0


def test_kernels_older_than_a_file_beside_theirs_are_forgotten(tmp_path: Path) -> None:
    def made(path: str, second: int) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (second, second))
        return file

    made("ops/helper.py", 20)
    made("ops/kernel.py", 5)
    old, new = made("ops/__pycache__/old.nbi", 10), made("ops/__pycache__/new.nbi", 30)
    made("scene/kernel.py", 5)
    elsewhere = made("scene/__pycache__/kernel.nbi", 10)
    made("left_behind/__pycache__/kernel.nbi", 10)
    (tmp_path / "ops/.#kernel.py").symlink_to("user@host.1")  # Emacs has it open
    forget_older_kernels(tmp_path)
    assert not old.exists() and new.exists() and elsewhere.exists()
