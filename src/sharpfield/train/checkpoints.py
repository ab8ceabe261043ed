"""Checkpoints: one safetensors file each, plain tensors and JSON, nothing that executes on load."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sharpfield.errors import InputError
from sharpfield.files import JSON, write_bytes

FOLDER = "checkpoints"
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A training state on the CPU.

    ``warning`` is a line for the user when a newer checkpoint was damaged and had to be skipped.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, JSON]
    path: Path
    warning: str | None


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, JSON]
) -> Path:
    """Write ``checkpoints/step_<step>.safetensors`` in the run folder and return its path.

    The file appears whole or not at all. The newest two checkpoints stay. Files of later steps
    are removed too: training goes on from the newest loadable checkpoint, so they are damaged.
    Raises ``InputError`` for a full or read-only disk.
    """
    path = folder / FOLDER / f"step_{step:08d}.safetensors"
    plain = {name: _on_cpu(tensor) for name, tensor in tensors.items()}
    state_text = json.dumps(dict(state))
    header = {"step": str(step), "state": state_text, "crc32": _digest(plain, state_text)}
    write_bytes(path, save(plain, header))
    previous = [found for found in _newest_first(folder) if _step(found) <= step][:_KEPT]
    for found in _newest_first(folder):
        if found not in previous:
            found.unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, expected: Mapping[str, torch.Size] | None = None
) -> Checkpoint | None:
    """The newest loadable checkpoint of the run folder, or None where there is none yet.

    ``expected``: see `check_shapes`. Raises ``InputError`` when checkpoints exist and none can be
    read, or when the newest one that can has other tensors than expected.
    """
    damaged: list[Path] = []
    for path in _newest_first(folder):
        try:
            step, tensors, state = _read(path)
        except (SafetensorError, OSError, ValueError, KeyError):
            damaged.append(path)
            continue
        check_shapes(path, tensors, expected or {})
        return Checkpoint(step, tensors, state, path, skipped_warning(damaged, path))
    if damaged:
        raise InputError(
            f"{damaged[0]}: damaged, and no older checkpoint can be read; "
            f"remove {folder / FOLDER} to train from the start"
        )
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of the run folder: a run that starts anew is not theirs."""
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)


def check_shapes(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, torch.Size]
) -> None:
    """Raise ``InputError`` where a tensor of ``expected`` is missing or of another shape.

    Or where there is one more of their kind: ``kind/name`` of a kind that is expected.
    """
    faults = []
    for name, shape in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != tuple(shape):
            faults.append(f"{name} is {found}, expected {tuple(shape)}")
    kinds = tuple({f"{name.partition('/')[0]}/" for name in expected})
    beyond = sorted(set(tensors) - set(expected))
    faults += [f"{name} is not expected" for name in beyond if name.startswith(kinds)]
    if faults:
        raise InputError(
            f"{path}: the checkpoint belongs to another configuration, or to another version of "
            f"sharpfield ({faults[0]}); give the options that it was trained with, or train anew "
            "in another folder"
        )


def _read(path: Path) -> tuple[int, dict[str, Tensor], dict[str, JSON]]:
    """Raises one of several errors for a damaged file; ``ValueError`` for a wrong checksum."""
    with safe_open(path, framework="pt", device="cpu") as file:
        header = file.metadata() or {}
        # Copies, since the file, which they would be a map of, goes when newer ones are written.
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if header["crc32"] != _digest(tensors, header["state"]):
        raise ValueError("the checksum differs")
    return int(header["step"]), tensors, json.loads(header["state"])


def _on_cpu(tensor: Tensor) -> Tensor:
    """A copy of its own: safetensors refuses tensors that share memory."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _digest(tensors: Mapping[str, Tensor], state_text: str) -> str:
    """A checksum over names and bytes: safetensors itself notices only a wrong length."""
    crc = zlib.crc32(state_text.encode())
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _newest_first(folder: Path) -> list[Path]:
    """Without files of other names, which are the user's."""
    found = (folder / FOLDER).glob("step_*.safetensors")
    return sorted((path for path in found if _digits(path).isdecimal()), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(_digits(path))


def _digits(path: Path) -> str:
    return path.stem.removeprefix("step_")


def skipped_warning(damaged: list[Path], used: Path) -> str | None:
    """One line about newer checkpoints that could not be read, None where there were none."""
    if not damaged:
        return None
    names = ", ".join(str(path) for path in damaged)
    return f"{names}: damaged checkpoint skipped; going on from {used.name}"
