"""Tiny batches: a second thread costs more than it gives, and very much on a busy machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numba
import pytest
import torch
from tests.classic.laboratory import Laboratory
from tests.classic.made_scene import write_forward_scene


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before, before_numba = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    numba.set_num_threads(before_numba)


@pytest.fixture(scope="session")
def made_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_forward_scene(tmp_path_factory.mktemp("made") / "scene")


@pytest.fixture
def laboratory(made_scene: Path, tmp_path: Path) -> Laboratory:
    """An empty one, over a scene that is read in no time."""
    return Laboratory(made_scene, tmp_path)
