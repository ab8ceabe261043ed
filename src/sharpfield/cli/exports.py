"""``sharpfield restore``, ``render``, ``kernels`` and ``report``: pictures of a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sharpfield.cli.console import console, counting
from sharpfield.cli.options import DeviceOption, RunArgument, find_device
from sharpfield.cli.results import open_and_warn, write_results
from sharpfield.export.camera_path import camera_path
from sharpfield.export.kernels import export_kernels
from sharpfield.export.restored import restore as restore_photos
from sharpfield.export.video import render_path


def restore(
    run: RunArgument,
    rendered: Annotated[
        bool,
        typer.Option(
            "--rendered", help="The rendering alone, without the detail of photos that are sharp."
        ),
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Give the training photos back sharp: RUN/restored/<photo names>."""
    opened = open_and_warn(run, find_device(device))
    with counting("restoring photos") as progress:
        paths = restore_photos(opened, progress=progress, rendered=rendered)
    console.print(f"{len(paths)} photos: {opened.folder / 'restored'}", soft_wrap=True)


def render(
    run: RunArgument,
    path: Annotated[
        str,
        typer.Option(
            help="spiral, interpolate, views, epi (a slide), orbit, or a JSON file of camera poses."
        ),
    ] = "spiral",
    frames: Annotated[
        int, typer.Option(min=2, help="Frames of all paths but views and files.")
    ] = 120,
    fps: Annotated[float, typer.Option(min=1, help="Frames per second.")] = 30.0,
    device: DeviceOption = "auto",
) -> None:
    """Fly through the sharp scene: RUN/renders/<path>.mp4, and its depth, <path>_depth.mp4."""
    opened = open_and_warn(run, find_device(device))
    poses = camera_path(opened.scene, path, frames)
    name = Path(path).stem
    with counting("rendering frames") as progress:
        target = opened.folder / "renders" / f"{name}.mp4"
        videos = render_path(opened, poses, target, fps, progress)
    for video in videos:
        console.print(f"video: {video}", soft_wrap=True)


def kernels(run: RunArgument, device: DeviceOption = "auto") -> None:
    """Show what the blur model found, in RUN/kernels: maps, masks, warped views and poses."""
    opened = open_and_warn(run, find_device(device))
    with counting("rendering motions") as progress:
        folder = export_kernels(opened, progress)
    console.print(f"kernels: {folder}", soft_wrap=True)


def report(run: RunArgument, device: DeviceOption = "auto") -> None:
    """Evaluate, restore the photos and write RUN/report.html again."""
    write_results(open_and_warn(run, find_device(device)))
