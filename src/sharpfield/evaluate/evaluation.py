"""Score a run on its held-out views, and on everything else whose truth is known."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from llvmlite.binding import get_host_cpu_name

from sharpfield import __version__
from sharpfield.evaluate.images import from_8bit, to_8bit, write_image
from sharpfield.evaluate.kernel_quality import KernelQuality, kernel_quality
from sharpfield.evaluate.metrics import Lpips, flip, mse, psnr, ssim
from sharpfield.evaluate.protocols import Protocol, find_protocol
from sharpfield.files import write_json
from sharpfield.progress import OnProgress, ignore
from sharpfield.run import Run
from sharpfield.scene.scene import View

_METRICS = ("psnr", "ssim", "lpips", "flip")

RestoredPhotos = dict[str, UInt8[np.ndarray, "height width 3"]]
"""Training photos as they are given back, by name, as far as they were made: it takes a while."""


@dataclass(frozen=True)
class ViewScores:
    """Scores of one held-out view: PSNR in dB, SSIM, LPIPS, mean FLIP; None = not computed.

    ``mse`` is the mean squared error in the protocol's range.
    """

    name: str
    mse: float
    psnr: float
    ssim: float | None
    lpips: float | None
    flip: float | None


@dataclass(frozen=True)
class RestoredScore:
    """A training photo against its true sharp photo: PSNR in dB.

    Of the restored photo, of the field's sharp rendering alone, and of the blurry photo.
    """

    name: str
    psnr: float
    psnr_rendered: float
    psnr_blurry: float


@dataclass(frozen=True)
class Evaluation:
    """All numbers of a run under one protocol.

    ``mean`` is None per metric when no view has it. ``restored`` is empty without a truth and
    ``kernel_size`` None without a blur model. ``renders`` are the sharp renders made on the way
    (held-out views; with a truth also training views) by photo name, and ``restored_photos`` the
    training photos restored so far; others join them. ``notes`` are one-line remarks about what
    was left out.
    """

    protocol: Protocol
    mean: Mapping[str, float | None]
    views: tuple[ViewScores, ...]
    restored: tuple[RestoredScore, ...]
    kernel_size: KernelQuality | None
    training_seconds: float
    step: int
    rays_per_pixel: float
    peak_memory_bytes: int
    seed: int
    version: str
    machine: str
    notes: tuple[str, ...]
    renders: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    restored_photos: RestoredPhotos

    @property
    def restored_mean(self) -> RestoredScore | None:
        """Mean PSNR over all restored photos; None without a truth."""
        if not self.restored:
            return None
        return RestoredScore(
            "mean",
            float(np.mean([score.psnr for score in self.restored])),
            float(np.mean([score.psnr_rendered for score in self.restored])),
            float(np.mean([score.psnr_blurry for score in self.restored])),
        )

    def to_dict(self) -> dict[str, object]:
        """The content of ``eval/metrics.json``; absent truths and kernels leave their key out."""
        result: dict[str, object] = {
            "protocol": asdict(self.protocol),
            "mean": dict(self.mean),
            "views": [asdict(view) for view in self.views],
        }
        mean = self.restored_mean
        if mean is not None:
            result["restored"] = {
                "mean": {key: value for key, value in asdict(mean).items() if key != "name"},
                "views": [asdict(score) for score in self.restored],
            }
        if self.kernel_size is not None:
            result["kernel_size"] = asdict(self.kernel_size)
        for key in ("training_seconds", "step", "rays_per_pixel", "peak_memory_bytes", "seed"):
            result[key] = getattr(self, key)
        return {
            **result,
            "version": self.version,
            "machine": self.machine,
            "notes": list(self.notes),
        }


def evaluate(
    run: Run,
    protocol: str = "standard",
    progress: OnProgress = ignore,
    renders: Mapping[str, UInt8[np.ndarray, "height width 3"]] | None = None,
) -> Evaluation:
    """Render the held-out views sharp and score them; with a truth, restore the photos as well.

    Renders are quantised to 8 bits first, as files on disk are; ``renders`` are those at hand by
    photo name. ``progress`` gets (done, total) views. Raises ``InputError`` for an unknown
    protocol.
    """
    rules = find_protocol(protocol)
    lpips = Lpips.load(rules.lpips_backbone)
    notes = [] if lpips.hint is None else [lpips.hint]
    truth = {} if run.truth is None else run.truth.sharp
    scene = run.scene
    indices = scene.test_indices + tuple(
        index for index in scene.train_indices if scene.views[index].name in truth
    )
    views, restored, images = [], [], dict(renders or {})
    photos: RestoredPhotos = {}
    for done, index in enumerate(indices, start=1):
        view = scene.views[index]
        if view.name not in images:
            images[view.name] = to_8bit(run.render_view(index).colour)
        render = from_8bit(images[view.name])
        if view.held_out:
            views.append(_score(view, render, rules, lpips))
        else:
            photos[view.name] = to_8bit(run.restore_view(index, render))
            restored.append(_score_restored(view, photos[view.name], render, truth[view.name]))
        progress(done, len(indices))
    if views and views[0].flip is None:
        notes.append("FLIP was left out: not installed (pip install flip-evaluator)")
    return Evaluation(
        protocol=rules,
        mean={name: _mean([getattr(view, name) for view in views]) for name in _METRICS},
        views=tuple(views),
        restored=tuple(restored),
        kernel_size=kernel_quality(run) if run.motions > 1 else None,
        training_seconds=run.training_seconds,
        step=run.step,
        rays_per_pixel=run.rays_per_pixel,
        peak_memory_bytes=run.peak_memory_bytes,
        seed=run.seed,
        version=__version__,
        machine=machine_kind(run.device),
        notes=tuple(notes),
        renders=images,
        restored_photos=photos,
    )


def write_evaluation(run: Run, evaluation: Evaluation) -> Path:
    """Write RUN/eval/metrics.json and eval/renders/<stem>.png of the held-out views.

    Returns the path of the JSON file. Raises ``InputError`` when a file cannot be written.
    """
    folder = run.folder / "eval"
    for view in evaluation.views:
        path = folder / "renders" / f"{Path(view.name).stem}.png"
        write_image(path, evaluation.renders[view.name])
    target = folder / "metrics.json"
    write_json(target, evaluation.to_dict())
    return target


def machine_kind(device: torch.device) -> str:
    """The kind of machine, such as ``Linux x86_64, 2 CPU cores (znver4)``; no host name.

    With the GPU, where ``device`` is one.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    cpu = f"{cores} CPU core{'s' * (cores != 1)} ({get_host_cpu_name()})"
    kind = f"{platform.system()} {platform.machine()}, {cpu}"
    return f"{kind}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else kind


def _score(
    view: View, render: Float[np.ndarray, "height width 3"], rules: Protocol, lpips: Lpips
) -> ViewScores:
    return ViewScores(
        name=view.name,
        mse=mse(render, view.photo, rules),
        psnr=psnr(render, view.photo),
        ssim=ssim(render, view.photo, rules),
        lpips=lpips(render, view.photo),
        flip=flip(render, view.photo, rules.flip_pixels_per_degree),
    )


def _score_restored(
    view: View,
    restored: UInt8[np.ndarray, "height width 3"],
    render: Float[np.ndarray, "height width 3"],
    sharp: Float[np.ndarray, "height width 3"],
) -> RestoredScore:
    return RestoredScore(
        name=view.name,
        psnr=psnr(from_8bit(restored), sharp),
        psnr_rendered=psnr(render, sharp),
        psnr_blurry=psnr(view.photo, sharp),
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
