"""``sharpfield eval``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from sharpfield.cli.console import console, warn
from sharpfield.cli.options import DeviceOption, RunArgument, find_device
from sharpfield.cli.results import evaluate_run, open_and_warn


def evaluate(
    run: RunArgument,
    protocol: Annotated[
        str, typer.Option(help="standard, or paper (SSIM as in the classic tables).")
    ] = "standard",
    device: DeviceOption = "auto",
) -> None:
    """Score the held-out views; writes RUN/eval/metrics.json."""
    opened = open_and_warn(run, find_device(device))
    evaluation = evaluate_run(opened, protocol)
    names = ("psnr", "ssim", "lpips", "flip")
    table = Table("view", *names, title=f"protocol: {evaluation.protocol.name}")
    for view in evaluation.views:
        table.add_row(view.name, *(_number(getattr(view, name)) for name in names))
    table.add_row("mean", *(_number(evaluation.mean[name]) for name in names), style="bold")
    console.print(table)
    for note in evaluation.notes:
        warn(note)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
