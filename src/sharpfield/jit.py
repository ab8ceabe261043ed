"""numba functions whose machine code is kept on disk."""

import warnings
from collections.abc import Callable
from typing import Any

import numba

NOWHERE = (
    "neither sharpfield's folder nor your cache folder can be written, so its CPU kernels are "
    "compiled anew at every start. Set NUMBA_CACHE_DIR to a folder that can be written."
)


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
