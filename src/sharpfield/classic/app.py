"""``run_nerf.py``: the classic command line over the ordinary pipeline."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

import sharpfield
from sharpfield.classic.experiment import Experiment, append_metrics, write_options
from sharpfield.classic.ignored import ignored
from sharpfield.classic.options import PROGRAM, ClassicOptions, parse_options
from sharpfield.classic.outputs import (
    metrics_line,
    picture_camera,
    score,
    write_path,
    write_views,
    write_warped,
)
from sharpfield.classic.translate import size_in_bytes, to_config
from sharpfield.cli.console import console, counting, training, warn
from sharpfield.cli.options import find_device
from sharpfield.cli.outcome import exit_code
from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.model import Model
from sharpfield.run import Run, read_scene
from sharpfield.scene.scene import Scene
from sharpfield.train.archive import newest_archive, read_archive
from sharpfield.train.checkpoints import Checkpoint, check_shapes, load_checkpoint
from sharpfield.train.distributed import Group, is_worker, joined_group, this_process
from sharpfield.train.launch import launch
from sharpfield.train.loop import MAY_CHANGE, Job, train
from sharpfield.train.memory_plan import check_unsplit, plan_memory, rehearse_largest
from sharpfield.train.run_folder import CONFIG_FILE
from sharpfield.train.trainer import Trainer, read_progress

CLASSIC_MAY_CHANGE = MAY_CHANGE | {
    "train.pixels",
    "train.warmup",
    "train.settle",
    "train.harden",
    "train.final_rate",
    "hierarchical.near_cut",
}
"""What another ``N_iters`` or ``N_rand`` changes in a run that goes on."""

CLASSIC_NAMES = {
    "--output": "--expname",
    "--set train.head_rate": "--lrate",
    "--field mlp --set scene.ndc=false": "--no_ndc",
    "--set scene.spherify=true": "--spherify",
    "setting blur.motions": "--rbk_num_motion",
}
"""What messages of the pipeline advise, by its name here."""

LESS_MEMORY = (
    "Take less at once: in training a smaller --memory (results stay the same), for pictures "
    "--chunk 4096; --datadownsample 2 halves the photos."
)
"""What to do when memory runs out."""


def run(arguments: Sequence[str]) -> int:
    """Run a classic command line and return its exit code: 0, 2 for wrong input, 130."""

    def classic() -> int:
        try:
            return _run(arguments)
        except InputError as error:
            message = str(error)
            for new, old in CLASSIC_NAMES.items():
                message = message.replace(new, old)
            raise InputError(message) from error

    return exit_code(PROGRAM, classic, LESS_MEMORY)


def main() -> None:
    """The script."""
    sys.exit(run(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> int:
    options = parse_options(arguments)
    config = to_config(options)
    trains = not (options.render_only or options.save_warped_ray_img)
    if trains and options.num_gpu > 1 and not is_worker():
        return _launch(options.num_gpu, arguments)
    if options.torch_hub_dir:
        torch.hub.set_dir(options.torch_hub_dir)
    device = find_device(options.device)
    scene = read_scene(options.datadir, config)
    if not trains:
        if this_process().rank == 0:
            _warn_of(options)
            _render(options, scene, config, device)
        return 0
    with joined_group(device) as group:
        if group.first:
            _warn_of(options)
        _train(options, scene, config, device, group)
    return 0


def _launch(processes: int, arguments: Sequence[str]) -> int:
    """The same command in several processes, which find this package even if not installed."""
    source = str(Path(sharpfield.__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    return launch(processes, ["-m", "sharpfield.classic", *arguments])


def _warn_of(options: ClassicOptions) -> None:
    for message in ignored(options):
        warn(message)


def _train(
    options: ClassicOptions, scene: Scene, config: Config, device: torch.device, group: Group
) -> None:
    folder = options.basedir / options.expname
    # A folder that only pictures were rendered into is no run yet, and may become one.
    anew = options.no_reload or not os.path.exists(folder / CONFIG_FILE)
    start = _start(options, anew)
    config = _rehearsed(options, Trainer(scene, config, device), start, group)
    job = Job(folder, scene, config, device, group, CLASSIC_MAY_CHANGE, start, anew)
    if not group.first:
        train(job, lambda trainer, result: None, warn)
        return
    with (
        training(options.expname) as bar,
        closing(Experiment(options, scene, config, bar)) as experiment,
    ):
        progress = train(job, experiment, warn)
        experiment.finish(progress.seconds)
    console.print(f"{options.expname}: {progress.step} iterations, {folder}", soft_wrap=True)


def _rehearsed(
    options: ClassicOptions, trainer: Trainer, start: Checkpoint | None, group: Group
) -> Config:
    """What can go wrong goes wrong here, before anything is written; the configuration to train."""
    if start is not None:
        check_shapes(start.path, start.tensors, trainer.expected_shapes())
    return _split_for_memory(options, trainer, group)


def _split_for_memory(options: ClassicOptions, trainer: Trainer, group: Group) -> Config:
    """The configuration with steps split to fit the process that has the least memory."""
    config, device = trainer.config, trainer.device
    limit = None if options.memory in ("auto", "off") else size_in_bytes(options.memory)
    plan = plan_memory(trainer, limit, group.size)
    rays_at_once = 0 if options.memory == "off" else plan.rays_at_once
    splits = [row[0] for row in group.of_all([rays_at_once], device) if row[0] > 0]
    rays_at_once = int(min(splits, default=0))
    if options.memory == "off":
        check_unsplit(plan, config.train.pixels, device)
    config = replace(config, train=replace(config.train, rays_at_once=rays_at_once))
    if group.first and rays_at_once:
        console.print(
            f"memory: a step would keep {plan.step_bytes / 2**30:.1f} GiB; "
            f"it is computed {rays_at_once} rays at a time",
            soft_wrap=True,
        )
    rehearse_largest(trainer, rays_at_once, group.size)
    return config


def _render(options: ClassicOptions, scene: Scene, config: Config, device: torch.device) -> None:
    folder = options.basedir / options.expname
    checkpoint = _checkpoint(options)
    if checkpoint is None:
        raise InputError(f"{folder}: no checkpoint to render; train first or give --ft_path FILE")
    if checkpoint.warning:
        warn(checkpoint.warning)
    model = Model(scene, config)
    check_shapes(checkpoint.path, checkpoint.tensors, model.checkpoint_shapes())
    model.load_checkpoint(checkpoint.tensors)
    run = Run(folder, scene, config, model.to(device), read_progress(checkpoint.state))
    write_options(options)
    if options.save_warped_ray_img:
        with counting("rendering motions") as progress:
            target = write_warped(run, options, folder, progress)
    elif options.render_test:
        target = folder / f"renderonly_test_{run.step - 1:06d}"
        _render_views(run, options)
    else:
        with counting("rendering frames") as progress:
            target = write_path(run, options, folder, progress)
    console.print(f"pictures: {target}", soft_wrap=True)


def _render_views(run: Run, options: ClassicOptions) -> None:
    with counting("rendering all views") as progress:
        images = write_views(run, options, run.folder, progress)
    if picture_camera(run, options) != run.scene.views[0].camera:
        warn(f"--render_factor {options.render_factor}: smaller pictures have no scores")
        return
    scores = score(run, images)
    line = metrics_line("**[Evaluation]** :", scores)
    append_metrics(run.folder, line)
    console.print(line, highlight=False, soft_wrap=True)
    for note in scores["paper"].notes:
        warn(note)


def _start(options: ClassicOptions, anew: bool) -> Checkpoint | None:
    """What a run starts from; None where there is nothing, or where the loop finds it by itself.

    That it does not do in a folder that is no run, or no longer: it would remove what is there.
    """
    if options.ft_path is None and options.no_reload:
        return None
    checkpoint = _checkpoint(options)
    is_found = checkpoint is not None and checkpoint.path.suffix != ".tar" and not anew
    return None if is_found else checkpoint


def _checkpoint(options: ClassicOptions) -> Checkpoint | None:
    """What to go on from: ``ft_path``, else the experiment's newest checkpoint, else its archive.

    None where there is neither. Raises ``InputError`` where none can be read.
    """
    if options.ft_path is not None:
        return read_archive(options.ft_path)
    folder = options.basedir / options.expname
    try:
        return load_checkpoint(folder) or newest_archive(folder)
    except InputError:
        archive = newest_archive(folder)
        if archive is None:
            raise
        warning = f"{folder}: its checkpoints are damaged; going on from {archive.path.name}"
        return replace(archive, warning=warning)
