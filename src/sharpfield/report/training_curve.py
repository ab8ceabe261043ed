"""The training curve of a run, from its metrics.jsonl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

_SMOOTHING = 0.05


@dataclass(frozen=True)
class TrainingCurve:
    """Logged steps: training seconds, PSNR on blurry pixels in dB, rendered rays per pixel.

    ``psnr_smooth`` is the median of the neighbouring 5 % of lines. ``kernel_size`` (mean, rays per
    pixel) is NaN where a line has none.
    """

    seconds: Float[np.ndarray, " lines"]
    psnr: Float[np.ndarray, " lines"]
    psnr_smooth: Float[np.ndarray, " lines"]
    rays_per_pixel: Float[np.ndarray, " lines"]
    kernel_size: Float[np.ndarray, " lines"]

    def late_gain(self) -> float:
        """PSNR gained from the last-but-one to the last fifth of the time, in dB; 0 when short."""
        if len(self.seconds) < 20:
            return 0.0
        share = self.seconds / max(self.seconds[-1], 1e-9)
        last, before = self.psnr[share > 0.8], self.psnr[(share > 0.6) & (share <= 0.8)]
        return float(last.mean() - before.mean()) if len(last) and len(before) else 0.0


def read_training_curve(metrics_jsonl: Path) -> TrainingCurve:
    """Read the lines of ``metrics_jsonl``; an absent file gives an empty curve.

    Lines that are incomplete, as an interrupted run may leave at the end, are skipped.
    """
    text = metrics_jsonl.read_text(encoding="utf-8") if metrics_jsonl.is_file() else ""
    lines = [line for line in map(_parse, text.splitlines()) if line is not None]
    table = np.array(lines, dtype=np.float64).reshape(-1, 4)
    table = table[np.argsort(table[:, 0], kind="stable")]
    table = table[np.isfinite(table[:, 1])]
    seconds, psnr, rays, kernel = table.T
    return TrainingCurve(seconds, psnr, _median_filter(psnr), rays, kernel)


def _parse(line: str) -> tuple[float, float, float, float] | None:
    try:
        entry = json.loads(line)
        seconds, psnr = float(entry["seconds"]), float(entry["psnr"])
        rays, kernel = entry.get("rays_per_pixel"), entry.get("kernel_size")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    nan = float("nan")
    return seconds, psnr, nan if rays is None else rays, nan if kernel is None else kernel


def _median_filter(values: Float[np.ndarray, " lines"]) -> Float[np.ndarray, " lines"]:
    reach = max(1, round(_SMOOTHING * len(values) / 2))
    return np.array(
        [np.median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))],
        dtype=np.float64,
    )
