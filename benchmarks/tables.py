"""RESULTS.md from the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from sharpfield.files import write_text

Numbers = Mapping[str, Any]

HEADINGS = {
    "toy": (
        "Toy scene",
        "192x128, 20 training photos (a fifth sharp), 5 sharp held-out views. Every row takes 3500 "
        "steps of 65,536 field samples: equal work, because the machine's speed varies by a third. "
        "`python benchmarks/run.py toy`",
    ),
    "toy-severe": (
        "Toy scene, severe blur",
        "The same scene with smears of up to 36 pixels instead of 18. Every row trains for 180 "
        "seconds, one after the other on a machine that does nothing else. "
        "`python benchmarks/run.py toy-severe`",
    ),
    "blurball": (
        "blurball (real capture), 300x200",
        "`images_4` at downscale 2, 23 blurred training photos, 4 sharp held-out views, no "
        "test-pose fitting. `python benchmarks/run.py blurball`",
    ),
}


def _sizes(row: Numbers, sharpest: bool) -> float | None:
    """Mean kernel size of the sharp photos (extent < 1 px), or of the most blurred fifth."""
    views = [view for view in row.get("kernel_size", {}).get("views", [])]
    if not views or views[0]["mean_true_extent"] is None:
        return None
    views.sort(key=lambda view: view["mean_true_extent"])
    if sharpest:
        chosen = [view for view in views if view["mean_true_extent"] < 1.0]
    else:
        chosen = views[-max(1, len(views) // 5) :]
    return mean(view["mean_size"] for view in chosen) if chosen else None


COLUMNS: dict[str, Callable[[Numbers], float | None]] = {
    "PSNR": lambda row: row["mean"]["psnr"],
    "SSIM": lambda row: row["mean"]["ssim"],
    "FLIP": lambda row: row["mean"]["flip"],
    "restored PSNR": lambda row: row.get("restored", {}).get("mean", {}).get("psnr"),
    "blurry PSNR": lambda row: row.get("restored", {}).get("mean", {}).get("psnr_blurry"),
    "rays/pixel": lambda row: row["rays_per_pixel"],
    "rays/pixel at the end": lambda row: row.get("final_rays_per_pixel"),
    "Spearman": lambda row: row.get("kernel_size", {}).get("spearman"),
    "size, sharp photos": lambda row: _sizes(row, sharpest=True),
    "size, most blurred": lambda row: _sizes(row, sharpest=False),
    "seconds": lambda row: row["training_seconds"],
    "M samples/s": lambda row: row["samples_per_second"] / 1e6,
    "peak MiB": lambda row: row["peak_memory_bytes"] / 2**20,
}


def write_tables(rows: Path, target: Path) -> None:
    """Write one table per suite: means over the seeds, with their standard deviation for PSNR."""
    parts = ["# Results\n\nMade by `benchmarks/run.py` from `benchmarks/rows`; do not edit.\n"]
    for suite, (title, note) in HEADINGS.items():
        files = sorted((rows / suite).glob("*.json"))
        if files:
            parts.append(_table(title, note, [json.loads(file.read_text()) for file in files]))
    write_text(target, "\n".join(parts))


def _table(title: str, note: str, rows: list[Numbers]) -> str:
    by_name: dict[str, list[Numbers]] = {}
    for row in rows:
        by_name.setdefault(row["row"], []).append(row)
    used = [name for name, value in COLUMNS.items() if any(value(row) is not None for row in rows)]
    lines = [f"## {title}\n", f"{note} Machine: {rows[0]['machine']}.\n"]
    lines += ["| blur model | seeds | " + " | ".join(used) + " |", "|---" * (len(used) + 2) + "|"]
    best = sorted(by_name.items(), key=lambda item: -mean(row["mean"]["psnr"] for row in item[1]))
    for name, group in best:
        cells = [_cell(column, [COLUMNS[column](row) for row in group]) for column in used]
        seeds = " ".join(str(row["seed"]) for row in group)
        lines.append(f"| {name} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(column: str, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    digits = 0 if column in ("seconds", "peak MiB") else 3 if column in ("SSIM", "FLIP") else 2
    text = f"{mean(known):.{digits}f}"
    if column == "PSNR" and len(known) > 1:
        text += f" ± {stdev(known):.2f}"
    return text
