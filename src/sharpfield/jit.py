"""numba functions whose machine code is kept on disk."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba

NOWHERE = (
    "neither sharpfield's folder nor your cache folder can be written, so its CPU kernels are "
    "compiled anew at every start. Set NUMBA_CACHE_DIR to a folder that can be written."
)


def forget_older_kernels(package: Path) -> None:
    """Of each folder, forget the code that was kept before the last change of a file in it.

    numba itself looks at the file of a kernel only, not at those whose functions it calls: after
    an update, the old ones would go on.
    """
    for cache in package.rglob("__pycache__"):
        changed = max(map(_changed_at, cache.parent.glob("*.py")), default=0.0)
        for index in cache.glob("*.nbi"):
            if _changed_at(index) < changed:
                with suppress(OSError):  # another process did it, or nothing can be removed
                    index.unlink()


def _changed_at(file: Path) -> float:
    """When ``file`` was last changed; 0 if it has gone, or is an editor's link to nothing."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``numba.njit`` with its options and ``cache=True``, on systems without a place to write too.

    numba refuses to define such a function where it finds no folder for the code (a container that
    is read-only, an account without a home); there the code lives as long as the process.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:
            warnings.warn(NOWHERE, stacklevel=1)
            return numba.njit(**options)(function)

    return decorate


forget_older_kernels(Path(__file__).parent)
