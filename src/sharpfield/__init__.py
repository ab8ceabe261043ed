"""Sharp 3D scenes from blurry photos: a radiance field fitted through a model of the blur."""

import os

# Threads that spin while they wait starve each other on a shared machine: with one other busy
# process on two cores, training was three to ten times slower. Must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
