"""The numbers of a report, as text for its tiles and its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sharpfield.evaluate.evaluation import Evaluation


@dataclass(frozen=True)
class Cell:
    """One number as text; ``best`` marks the best of a column with several values."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One run in the table."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table of runs; columns that no run has a value for are left out."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Column:
    title: str
    digits: int
    better: int
    """+1: higher is better, -1: lower is better, 0: neither."""
    values: tuple[float | None, ...]


def number_table(runs: Mapping[str, Evaluation]) -> Table:
    """The numbers of several runs side by side, one row each."""
    evaluations = list(runs.values())
    means = [evaluation.mean for evaluation in evaluations]
    columns = [
        _Column("PSNR ↑ dB", 2, 1, tuple(mean["psnr"] for mean in means)),
        _Column("SSIM ↑", 4, 1, tuple(mean["ssim"] for mean in means)),
        _Column("LPIPS ↓", 4, -1, tuple(mean["lpips"] for mean in means)),
        _Column("FLIP ↓", 4, -1, tuple(mean["flip"] for mean in means)),
        _Column("Restored PSNR ↑ dB", 2, 1, tuple(map(_restored, evaluations))),
        _Column("Rays per pixel", 2, 0, tuple(e.rays_per_pixel for e in evaluations)),
        _Column("Training s", 0, 0, tuple(e.training_seconds for e in evaluations)),
        _Column("Steps", 0, 0, tuple(float(e.step) for e in evaluations)),
        _Column("Peak memory MiB", 0, 0, tuple(e.peak_memory_bytes / 2**20 for e in evaluations)),
    ]
    filled = [column for column in columns if any(value is not None for value in column.values)]
    cells = [_cells(column) for column in filled]
    rows = [
        Row(label, tuple(column[number] for column in cells)) for number, label in enumerate(runs)
    ]
    return Table(tuple(column.title for column in filled), tuple(rows))


def duration(seconds: float) -> str:
    """Seconds as ``42 s``, ``3 min 05 s`` or ``1 h 02 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def decimal(value: float | None, digits: int) -> str:
    """A number with ``digits`` decimals; ``n/a`` when there is none."""
    return "n/a" if value is None or not np.isfinite(value) else f"{value:,.{digits}f}"


def _restored(evaluation: Evaluation) -> float | None:
    mean = evaluation.restored_mean
    return None if mean is None else mean.psnr


def _cells(column: _Column) -> list[Cell]:
    known = [value * column.better for value in column.values if value is not None]
    best = max(known) if column.better and len(column.values) > 1 else None
    return [
        Cell(
            decimal(value, column.digits),
            best is not None and value is not None and value * column.better == best,
        )
        for value in column.values
    ]
