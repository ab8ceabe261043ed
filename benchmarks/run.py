"""Train every row of the tables and write RESULTS.md from them.

    python benchmarks/run.py SUITE [--seeds 0 1 2]      SUITE: toy, toy-severe, blurball or all

A row is one training run; its numbers are kept in ``benchmarks/rows/<suite>/<row>.json``. Rows
that are there already are not trained again, so that a table can be continued: delete a row's
file to repeat it. Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from tables import write_tables

from sharpfield.cli.train import train_scene
from sharpfield.evaluate.evaluation import evaluate, write_evaluation
from sharpfield.files import write_json
from sharpfield.presets import preset
from sharpfield.run import open_run, read_scene
from sharpfield.scene.toy import ToySettings, make_toy_scene
from sharpfield.settings import with_overrides
from sharpfield.train.metrics_log import METRICS_FILE

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "bench"
BLURBALL = HERE.parents[1] / "shared" / "data" / "blurball"


@dataclass(frozen=True)
class Row:
    """A blur model under its name in the table."""

    name: str
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """Rows that share scene, preset, budget and everything else but the blur model.

    ``scene`` is a folder, or what a toy scene is made of.
    """

    scene: Path | ToySettings
    preset: str
    settings: tuple[str, ...]
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]


NONE = Row("none", ("blur.model=none",))
RIGID_4 = Row("rigid-4", ("blur.model=rigid", "blur.motions=4"))
RIGID_7 = Row("rigid-7", ("blur.model=rigid", "blur.motions=7"))
RIGID_12 = Row("rigid-12", ("blur.model=rigid", "blur.motions=12"))
TRAJECTORY_8 = Row(
    "trajectory-8",
    (
        "blur.model=rigid",
        "blur.motions=8",
        "blur.origin=false",
        "blur.path_points=4",
        "blur.freedom=0",
        "blur.even_weights=true",
    ),
)
"""As BAD-NeRF has it: eight virtual cameras on a cubic curve, all alike."""
DYNAMIC = Row("dynamic", ("blur.model=dynamic",))
DYNAMIC_12 = Row("dynamic-12", ("blur.model=dynamic", "blur.motions=12"))

SUITES = {
    "toy": Suite(
        ToySettings(),
        "fast",
        ("train.time_budget=0", "train.steps=3500"),
        (DYNAMIC_12, RIGID_7, RIGID_4, NONE, RIGID_12),
        (0, 1),
    ),
    "toy-severe": Suite(
        ToySettings(shake_pixels=(5.0, 36.0)),
        "fast",
        ("train.time_budget=180",),
        (DYNAMIC_12, RIGID_7, RIGID_4, RIGID_12, TRAJECTORY_8, NONE),
        (0, 1),
    ),
    "blurball": Suite(
        BLURBALL, "default", ("train.time_budget=600", "scene.downscale=2"), (DYNAMIC, NONE), (0,)
    ),
}


def run_row(suite_name: str, suite: Suite, row: Row, seed: int) -> None:
    """Train and score one row, unless its file is there."""
    name = f"{row.name}-seed{seed}"
    target = HERE / "rows" / suite_name / f"{name}.json"
    if target.exists():
        return
    folder = RUNS / suite_name / name
    shutil.rmtree(folder, ignore_errors=True)
    config = with_overrides(
        preset(suite.preset), [*suite.settings, *row.settings, f"train.seed={seed}"]
    )
    if isinstance(suite.scene, ToySettings):
        root = RUNS / suite_name / "scene"
        make_toy_scene(root, suite.scene)
    else:
        root = suite.scene
    train_scene(folder, read_scene(root, config), config, torch.device("cpu"), name)
    run = open_run(folder, torch.device("cpu"))
    evaluation = evaluate(run)
    write_evaluation(run, evaluation)
    last = json.loads((folder / METRICS_FILE).read_text().splitlines()[-1])
    extra = {
        "row": row.name,
        "samples_per_second": last["samples_per_second"],
        "final_rays_per_pixel": last["kernel_size"],
    }
    write_json(target, {**evaluation.to_dict(), **extra})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", default="all", choices=[*SUITES, "all"])
    parser.add_argument("--seeds", type=int, nargs="+")
    arguments = parser.parse_args()
    for name in SUITES if arguments.suite == "all" else [arguments.suite]:
        suite = SUITES[name]
        for seed in arguments.seeds or suite.seeds:
            for row in suite.rows:
                run_row(name, suite, row, seed)
                write_tables(HERE / "rows", HERE / "RESULTS.md")


if __name__ == "__main__":
    main()
