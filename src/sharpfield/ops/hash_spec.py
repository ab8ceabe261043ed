"""Shape of a multi-resolution hash grid (Mueller et al. 2022, "Instant NGP", section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FEATURES = 2
"""Features per grid vertex; fixed, because the kernels unroll it."""

PRIMES = (1, 2654435761, 805459861)


@dataclass(frozen=True)
class HashSpec:
    """Resolutions per level and axis, and where each level lies in the one flat table.

    Levels that fit are stored densely; larger ones are hashed into ``2**log2_entries`` rows.
    """

    levels: int
    log2_entries: int
    coarsest: int
    finest: int
    depth_ratio: float

    @cached_property
    def resolutions(self) -> np.ndarray:
        """Cells per axis, int64 (levels, 3). The depth axis is ``depth_ratio`` times as fine."""
        growth = (self.finest / self.coarsest) ** (1.0 / max(1, self.levels - 1))
        lateral = np.round(self.coarsest * growth ** np.arange(self.levels))
        depth = np.maximum(np.round(lateral * self.depth_ratio), min(16, self.coarsest))
        return np.stack([lateral, lateral, depth], axis=1).astype(np.int64)

    @cached_property
    def offsets(self) -> np.ndarray:
        """First table row of each level and, last, the number of rows: int64 (levels + 1,)."""
        dense = np.prod(self.resolutions + 1, axis=1)
        rows = np.minimum(dense, 1 << self.log2_entries)
        return np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)

    @cached_property
    def hashed(self) -> np.ndarray:
        """Whether a level is hashed, bool (levels,)."""
        return np.prod(self.resolutions + 1, axis=1) > (1 << self.log2_entries)

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])

    @property
    def width(self) -> int:
        """Length of an encoded point."""
        return self.levels * FEATURES
