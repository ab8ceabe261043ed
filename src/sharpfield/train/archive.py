"""``NNNNNN.tar``: a checkpoint in one file for scripts that read the classic ones.

A torch archive of ``global_step``, ``network_state_dict`` and ``optimizer_state_dict``, as
Deblur-NeRF writes it, with tensors by our names; and what else a resumed run needs. It is read
with ``weights_only``: nothing in it is executed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpfield.errors import InputError
from sharpfield.files import JSON, write_bytes
from sharpfield.train.checkpoints import Checkpoint, skipped_warning
from sharpfield.train.trainer import read_progress

_ANOTHER = "give another checkpoint"
_GROUPS = {"model/": "network_state_dict", "adam/": "optimizer_state_dict"}


def archive_path(folder: Path, step: int) -> Path:
    """Where the archive of ``step`` finished steps lies."""
    return folder / f"{step:06d}.tar"


def write_archive(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, JSON]
) -> Path:
    """Write the state of a run after ``step`` steps, whole or not at all."""
    content: dict[str, object] = {"global_step": step - 1, "state": json.dumps(dict(state))}
    for prefix, name in _GROUPS.items():
        content[name] = {
            key.removeprefix(prefix): tensor.detach().cpu()
            for key, tensor in tensors.items()
            if key.startswith(prefix)
        }
    content["random"] = tensors["random"].cpu()
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path = archive_path(folder, step)
    write_bytes(path, buffer.getvalue())
    return path


def read_archive(path: Path) -> Checkpoint:
    """Read what ``write_archive`` wrote.

    Raises ``InputError`` for a file that is missing, damaged or not of this program.
    """
    if not os.path.isfile(path):
        raise InputError(f"--ft_path {path}: no such file; give a checkpoint such as 200000.tar")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); {_ANOTHER}"
        ) from None
    except Exception:  # torch raises many kinds, and says how to read unsafely what it refuses
        raise InputError(f"{path}: damaged, or it holds more than tensors; {_ANOTHER}") from None
    if not isinstance(content, dict) or not {"state", "random", *_GROUPS.values()} <= set(content):
        raise InputError(
            f"{path}: a checkpoint of another program, whose networks have other names; "
            "train the scene anew with run_nerf.py"
        )
    try:
        return _checkpoint(content, path)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not what this version writes; {_ANOTHER}") from None


def _checkpoint(content: Mapping[str, Any], path: Path) -> Checkpoint:
    """Raises one of several errors for content of the wrong kind."""
    tensors: dict[str, Tensor] = {"random": content["random"]}
    for prefix, name in _GROUPS.items():
        tensors |= {f"{prefix}{key}": tensor for key, tensor in content[name].items()}
    if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise TypeError("something is no tensor")
    state = json.loads(content["state"])
    return Checkpoint(read_progress(state).step, tensors, state, path, None)


def newest_archive(folder: Path) -> Checkpoint | None:
    """The newest archive of the folder that can be read, or None without any.

    Raises ``InputError``, what is wrong with the newest, where none can be read.
    """
    paths = [path for path in folder.glob("*.tar") if path.stem.isdecimal()]
    failures: dict[Path, InputError] = {}
    for path in sorted(paths, key=lambda path: int(path.stem), reverse=True):
        try:
            checkpoint = read_archive(path)
        except InputError as error:
            failures[path] = error
            continue
        return replace(checkpoint, warning=skipped_warning(list(failures), path))
    if failures:
        raise next(iter(failures.values()))
    return None
