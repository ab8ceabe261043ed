"""Shapes and types of the package are checked at run time while the tests run."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import install_import_hook

# As in mypy, an int serves where a float is asked for.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
SOURCE = Path(__file__).parents[1] / "src"


def checked_modules() -> list[str]:
    """All modules but the numba kernels (``*_cpu.py``): numba compiles only plain functions."""
    paths = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in paths
        if not path.stem.endswith("_cpu")
    ]


install_import_hook(checked_modules(), CHECKER)
