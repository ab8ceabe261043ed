"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from sharpfield.errors import InputError
from sharpfield.train.distributed import this_process

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run, as 'sharpfield train' wrote it.")
]
DeviceOption = Annotated[
    str, typer.Option(help="Where to compute: auto (CUDA when there is one), cpu or cuda.")
]


def find_device(name: str) -> torch.device:
    """The device of ``--device``; each of a machine's processes has a CUDA device of its own.

    Raises ``InputError`` for an unknown or absent one.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {name}: no such device; use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda: torch sees no CUDA device; use --device cpu")
    if name == "cpu" or not available:
        return torch.device("cpu")
    process, devices = this_process(), torch.cuda.device_count()
    if process.local_size > devices:
        raise InputError(
            f"--device {name}: {process.local_size} processes on this machine, which has "
            f"{devices} CUDA devices; start at most {devices} processes or use --device cpu"
        )
    return torch.device("cuda", process.local_rank) if process.size > 1 else torch.device("cuda")
