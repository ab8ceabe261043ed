"""Kernels are kept where they can be, and run where they cannot."""

from pathlib import Path

import pytest

from sharpfield.jit import cached_njit

SOURCE = "def triple(x):\n    return 3 * x\n"


def defined_at(path: Path):  # type: ignore[no-untyped-def]
    """The function of SOURCE as a module at ``path`` would define it."""
    names: dict = {}  # type: ignore[type-arg]
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
