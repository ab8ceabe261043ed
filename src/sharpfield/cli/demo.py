"""``sharpfield demo``: from nothing to a report, on the built-in blurry scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sharpfield.cli.console import console, counting
from sharpfield.cli.options import DeviceOption, find_device
from sharpfield.cli.results import evaluate_run, open_and_warn, write_results
from sharpfield.cli.train import train_scene
from sharpfield.evaluate.evaluation import Evaluation
from sharpfield.presets import preset
from sharpfield.run import read_scene
from sharpfield.scene.toy import ToySettings, make_toy_scene
from sharpfield.settings import with_overrides

SECONDS = 50.0
"""Training time of each of the two models: with all the rest, the demo takes three minutes."""


def demo(
    output: Annotated[Path, typer.Option(help="Where the scene and both runs go.")] = Path(
        "runs/demo"
    ),
    seconds: Annotated[float, typer.Option(min=1, help="Training time of each model.")] = SECONDS,
    seed: Annotated[int, typer.Option(help="Seed of scene and training.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Make a blurry toy scene, fit it with and without the dynamic kernel, and compare."""
    where = find_device(device)
    config = with_overrides(preset("fast"), [f"train.time_budget={seconds}", f"train.seed={seed}"])
    scene_folder = output / "scene"
    with counting("photographing the toy scene", stays=False) as progress:
        make_toy_scene(scene_folder, ToySettings(seed=seed), progress)
    scene = read_scene(scene_folder, config)
    plain = replace(config, blur=replace(config.blur, model="none"))
    train_scene(output / "none", scene, plain, where, "none")
    baseline = evaluate_run(open_and_warn(output / "none", where))
    train_scene(output / "dynamic", scene, config, where, "dynamic")
    run = open_and_warn(output / "dynamic", where)
    evaluation = write_results(run, {"none": baseline})
    _show({"none": baseline, "dynamic": evaluation})


def _show(rows: dict[str, Evaluation]) -> None:
    table = Table("blur model", "held-out PSNR", "SSIM", "restored photos", "rays per pixel")
    for name, evaluation in rows.items():
        restored = [score.psnr for score in evaluation.restored]
        table.add_row(
            name,
            f"{evaluation.mean['psnr']:.2f} dB",
            f"{evaluation.mean['ssim']:.3f}",
            f"{sum(restored) / len(restored):.2f} dB",
            f"{evaluation.rays_per_pixel:.2f}",
        )
    console.print(table)
