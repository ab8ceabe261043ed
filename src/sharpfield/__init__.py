"""Sharp 3D scenes from blurry photos: a radiance field fitted through a model of the blur."""

import os

# OpenMP threads that spin while they wait starve each other as soon as another process is busy
# (training was 10 times slower), threads that sleep at once cost a third on a quiet machine:
# spin for some microseconds, then sleep. Must be set before torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

# Tables of features are read in any order: in huge pages, where the system has them, that is
# faster. Must be set before torch allocates anything.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
