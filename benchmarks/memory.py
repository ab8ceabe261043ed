"""What a step of the classic model keeps in memory, and what splitting it changes.

    python benchmarks/memory.py      writes MEMORY.md beside it; a few minutes

The full-size networks (8 x 256, 64 + 64 samples, adaptive weights) on blurball. ``kept`` is what
autograd keeps of a step for its gradients, counted on 16 pixels and scaled to N_rand; ``peak`` is
how far the memory of a process rises in a real step of N_rand 64.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from sharpfield.classic.options import parse_options
from sharpfield.classic.translate import to_config
from sharpfield.evaluate.evaluation import machine_kind
from sharpfield.files import write_text
from sharpfield.run import read_scene
from sharpfield.train.memory import peak_memory_bytes
from sharpfield.train.memory_plan import ALL_OPEN, MemoryPlan, plan_memory
from sharpfield.train.trainer import Trainer

HERE = Path(__file__).parent
BLURBALL = HERE.parents[1] / "shared" / "data" / "blurball"
CONFIG = HERE.parent / "configs" / "blurball" / "tx_blurball_dpnerf.txt"
LIMIT = 4 * 2**30
ORIGINAL_MIB_PER_RAY = 4.68
"""DP-NeRF, measured the same way on its published code, which evaluates each network twice."""
SMALL_N_RAND = 64
SMALL_PART = 64


def trainer(motions: int, n_rand: int, rays_at_once: int) -> Trainer:
    """The full-size model with DP-NeRF's kernel."""
    options = parse_options(
        f"--config {CONFIG} --expname memory --datadir {BLURBALL} --datadownsample 4 "
        f"--blur_model_type dpnerf --rbk_num_motion {motions} --N_rand {n_rand}".split()
    )
    config = to_config(options)
    config = replace(config, train=replace(config.train, rays_at_once=rays_at_once))
    return Trainer(read_scene(options.datadir, config), config, torch.device("cpu"))


def measured_peak(motions: int, rays_at_once: int) -> int:
    """Growth of the peak memory, in bytes, over one real step; run in a process of its own."""
    probe = trainer(motions, SMALL_N_RAND, rays_at_once)
    before = psutil.Process().memory_info().rss
    probe.rehearse(SMALL_N_RAND, ALL_OPEN)
    return peak_memory_bytes(probe.device) - before


def in_own_process(motions: int, rays_at_once: int) -> int:
    """``measured_peak`` in a fresh process."""
    command = [sys.executable, __file__, str(motions), str(rays_at_once)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def row(motions: int) -> str:
    """One line of the table."""
    probe = trainer(motions, 1024, 0)
    plan: MemoryPlan = plan_memory(probe, LIMIT, 1)
    rays = 1024 * (motions + 1)
    original = ORIGINAL_MIB_PER_RAY * rays / 1024
    cells = [
        f"{motions}",
        f"{original:.1f}",
        f"{plan.bytes_per_ray / 2**20:.2f}",
        f"{plan.step_bytes / 2**30:.1f}",
        f"{plan.rays_at_once or rays}",
        f"{plan.bytes_per_ray * (plan.rays_at_once or rays) / 2**30:.1f}",
        f"{in_own_process(motions, 0) / 2**20:.0f}",
        f"{in_own_process(motions, SMALL_PART) / 2**20:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the table."""
    headings = [
        "motions",
        "original, GiB",
        "ours, MiB per ray",
        "ours, GiB",
        "rays at once with --memory 4GiB",
        "kept then, GiB",
        f"peak, N_rand {SMALL_N_RAND}, unsplit, MiB",
        f"peak, {SMALL_PART} rays at once, MiB",
    ]
    lines = [
        "# Memory of a step\n",
        "Made by `python benchmarks/memory.py`; do not edit. DP-NeRF's model at full size, "
        f"N_rand 1024. Machine: {machine_kind(torch.device('cpu'))}. The original's figure is "
        f"{ORIGINAL_MIB_PER_RAY} MiB per ray, measured on its code in the same way "
        "(shared/reference/method.md, E). A split step has the same gradients.\n",
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
        *(row(motions) for motions in (4, 7)),
    ]
    write_text(HERE / "MEMORY.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(measured_peak(int(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
