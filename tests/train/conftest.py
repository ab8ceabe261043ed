"""Tiny batches: a second thread costs more than it gives, and very much on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[int]:
    before, before_numba = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield before_numba
    torch.set_num_threads(before)
    numba.set_num_threads(before_numba)


@pytest.fixture
def two_threads(one_thread: int) -> Iterator[None]:
    torch.set_num_threads(2)
    numba.set_num_threads(min(2, one_thread))
    yield
    torch.set_num_threads(1)
    numba.set_num_threads(1)
