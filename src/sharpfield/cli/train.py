"""``sharpfield train``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
import typer

from sharpfield.cli.console import console, training, warn
from sharpfield.cli.options import DeviceOption, find_device
from sharpfield.cli.results import open_and_warn, write_results
from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.model import check_combination
from sharpfield.presets import blur_settings, preset
from sharpfield.progress import ignore
from sharpfield.run import read_scene
from sharpfield.scene.scene import Scene
from sharpfield.settings import with_overrides
from sharpfield.train.distributed import ALONE, Group, joined_group
from sharpfield.train.loop import Job
from sharpfield.train.loop import train as train_run
from sharpfield.train.trainer import Progress

LARGE = 1_500_000
"""Pixels of a photo from which on a smaller one is proposed."""


def train(
    scene: Annotated[Path, typer.Argument(help="Folder with photos and camera poses (LLFF).")],
    output: Annotated[Path, typer.Option(help="Run folder; an existing one is continued.")],
    preset_name: Annotated[
        str,
        typer.Option(
            "--preset",
            help="fast: a minute. default: ten minutes on two cores. best: an hour. paper: "
            "DP-NeRF's networks and 200,000 steps, for GPUs.",
        ),
    ] = "default",
    blur: Annotated[
        str | None,
        typer.Option(
            help="Blur model: dynamic (the default), none, sparse, rigid, trajectory, or lens for "
            "defocus."
        ),
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Radiance field: hashgrid (fast) or mlp (classic).")
    ] = None,
    downscale: Annotated[
        int | None, typer.Option(help="Shrink the photos by this much further.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Train for this many steps.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Train for this many seconds.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: DeviceOption = "auto",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, as in config.yaml."),
    ] = None,
    results: Annotated[
        bool, typer.Option(help="Evaluate, restore the photos and write the report at the end.")
    ] = True,
) -> None:
    """Fit a sharp scene to blurry photos. Run it again with the same RUN to go on."""
    if steps is not None and time_budget is not None:
        raise InputError("--steps and --time-budget: give one of the two")
    options = {
        "field_name": field,
        "scene.downscale": downscale,
        "train.steps": steps,
        "train.time_budget": 0.0 if steps is not None else time_budget,
        "train.seed": seed,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    chosen = preset(preset_name)
    named = [] if blur is None else blur_settings(blur, chosen)
    config = with_overrides(chosen, [*named, *given, *(overrides or [])])
    check_combination(config)
    where = find_device(device)
    photos = read_scene(scene, config)
    with joined_group(where) as group:
        if group.first:
            _say_what_there_is(photos)
        train_scene(output, photos, config, where, "training", group)
    del photos  # large ones need the memory twice else: results read them again
    if results and group.first:
        write_results(open_and_warn(output, where))


def _say_what_there_is(scene: Scene) -> None:
    camera, held_out = scene.views[0].camera, len(scene.test_indices)
    hint = "" if held_out else " (a file hold=<n> in the folder holds out every n-th)"
    console.print(
        f"{scene.root}: {len(scene.views)} photos of {camera.width}x{camera.height}, "
        f"{held_out} held out for evaluation{hint}",
        soft_wrap=True,
    )
    shrink = math.ceil(math.sqrt(camera.width * camera.height / LARGE))
    if shrink > 1:
        console.print(
            f"large photos need much memory, and long to be given back sharp; --downscale {shrink} "
            f"makes these {round(camera.width / shrink)}x{round(camera.height / shrink)}",
            soft_wrap=True,
        )


def train_scene(
    run: Path,
    scene: Scene,
    config: Config,
    device: torch.device,
    label: str,
    group: Group = ALONE,
) -> Progress:
    """Train with a progress bar, and say what it came to; only the first process shows anything."""
    job = Job(run, scene, config, device, group)
    if not group.first:
        return train_run(job, ignore, ignore)
    with training(label) as observe:
        progress = train_run(job, observe, warn)
    console.print(
        f"{label}: {progress.step} steps in {progress.seconds:.0f} s, "
        f"{progress.rays_per_pixel:.1f} rays per pixel"
    )
    return progress
