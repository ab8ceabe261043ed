"""Train and score one row of a benchmark."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from sharpfield.bench.code_digest import code_digest
from sharpfield.bench.suite import BenchScene, RowKey, Suite
from sharpfield.errors import InputError
from sharpfield.evaluate.evaluation import Evaluation, evaluate
from sharpfield.evaluate.images import to_8bit
from sharpfield.export.maps import KERNEL_COLOURS, colourise
from sharpfield.export.restored import restored_photo
from sharpfield.presets import preset
from sharpfield.progress import OnProgress, ignore
from sharpfield.run import Run, open_run, read_scene
from sharpfield.settings import with_overrides
from sharpfield.train.loop import Interrupted, Job, Observer, train
from sharpfield.train.memory import forget_peak_memory

SIZE_SHOWN = 13.0
"""Rays per pixel at the bright end of the pictures of kernel sizes."""


@dataclass(frozen=True)
class Place:
    """Where benchmarks work: made scenes, runs, real scenes, and the device that trains.

    ``code`` is what trains: that of the start, which all rows are made with even where files are
    edited meanwhile.
    """

    work: Path
    data: Path
    device: torch.device
    code: str = field(default_factory=code_digest)

    def prepare(self, scene: BenchScene, progress: OnProgress = ignore) -> Path:
        """The scene's folder; errors as ``BenchScene.prepare``."""
        return scene.prepare(self.work / "scenes", self.data, progress)


@dataclass(frozen=True)
class Outcome:
    """What a row came to: numbers and pictures, or ``failure``, one line.

    ``lasting``: another try would fail alike, since training diverged. Pictures by name:
    ``truth`` and ``render`` of the first held-out view; ``blurry``, ``sharp`` (where it is known),
    ``restored`` and ``size`` of the training photo with the largest blur.
    """

    numbers: Mapping[str, Any]
    pictures: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    failure: str | None = None
    lasting: bool = False


def run_row(suite: Suite, key: RowKey, place: Place, observe: Observer = ignore) -> Outcome:
    """Train and score a row from scratch; what goes wrong is its failure.

    Raises ``KeyboardInterrupt`` after Ctrl-C.
    """
    config = with_overrides(preset(suite.preset), suite.assignments(key))
    try:
        scene = read_scene(place.prepare(suite.scene(key.scene)), config)
    except InputError as error:
        return Outcome({}, {}, str(error))
    if not scene.test_indices:
        return Outcome({}, {}, f"{scene.root}: no view is held out; add its hold=<n> marker")
    folder = (place.work / "runs" / key.path).with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    forget_peak_memory(place.device)
    try:
        progress = train(Job(folder, scene, config, place.device), observe, ignore)
        run = open_run(folder, place.device)
        evaluation = evaluate(run, suite.protocol)
        pictures = _pictures(run, evaluation)
    except Interrupted:
        raise KeyboardInterrupt from None  # its checkpoint helps nobody: rows start from scratch
    except InputError as error:
        diverged = isinstance(error.__cause__, FloatingPointError)
        return Outcome({}, {}, str(error).removeprefix(f"{folder}: "), lasting=diverged)
    except Exception as error:  # whatever a model does, the table goes on
        return Outcome({}, {}, f"{type(error).__name__}: {' '.join(str(error).split())}")
    shutil.rmtree(folder, ignore_errors=True)
    numbers = {
        **evaluation.to_dict(),
        "code": place.code,
        "samples_per_second": progress.samples / max(progress.seconds, 1e-9),
        "rays": progress.rays,
        "final_rays_per_pixel": progress.kernel_size,
    }
    return Outcome(numbers, pictures)


def _pictures(run: Run, evaluation: Evaluation) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
    scene = run.scene
    pictures = {}
    if scene.test_indices:
        held_out = scene.views[scene.test_indices[0]]
        pictures["truth"] = to_8bit(held_out.photo)
        pictures["render"] = evaluation.renders[held_out.name]
    index = _most_blurred(run)
    view = scene.views[index]
    pictures["blurry"] = to_8bit(view.photo)
    if run.truth is not None and view.name in run.truth.sharp:
        pictures["sharp"] = to_8bit(run.truth.sharp[view.name])
    pictures["restored"] = restored_photo(run, index, evaluation.restored_photos)
    if run.config.blur.model == "dynamic":
        pictures["size"] = colourise(run.kernel_size(index), 1.0, SIZE_SHOWN, KERNEL_COLOURS)
    return pictures


def _most_blurred(run: Run) -> int:
    """The training view with the largest true blur; the first one where that is not known."""
    extents = {} if run.truth is None else run.truth.extent

    def extent(index: int) -> float:
        known = extents.get(Path(run.scene.views[index].name).stem)
        return 0.0 if known is None else float(known.mean())

    return max(run.scene.train_indices, key=extent)
