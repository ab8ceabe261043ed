"""Signs of known failures, in words: what was seen, what it means, what to try."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sharpfield.evaluate.evaluation import Evaluation
from sharpfield.model import middle_depth
from sharpfield.report.motion_paths import centre_displacements
from sharpfield.report.training_curve import TrainingCurve
from sharpfield.run import Run

_COLLAPSED_SIZE = 1.05
_SATURATED_SHARE = 0.9
_SINGLE_RAY_WEIGHT = 0.98
_DRIFT_PIXELS = 2.0
_FAR_SHARE = 0.2
_MISPLACED_SHARE = 0.02
_FLAT_DEVIATION = 2.0
_FEW_VIEWS = 3
_LATE_GAIN = 0.4
_ALREADY_SHARP_PSNR = 30.0


def cautions(
    run: Run, evaluation: Evaluation, curve: TrainingCurve, baseline: Mapping[str, Evaluation]
) -> list[str]:
    """One sentence or two for each known failure that this run shows signs of; empty is good."""
    found = _of_renders(evaluation)
    if run.motions > 1:
        found += _of_masks(run, evaluation) + _of_motions(run) + _of_poses(run)
    found += _of_scores(evaluation, baseline)
    if curve.late_gain() > _LATE_GAIN:
        found.append(
            f"Training was still improving at the end (+{curve.late_gain():.1f} dB over the last "
            "fifth of the time). A larger --time-budget or --steps should help."
        )
    return found


def _of_renders(evaluation: Evaluation) -> list[str]:
    flat = [name for name, image in evaluation.renders.items() if image.std() < _FLAT_DEVIATION]
    if not flat:
        return []
    return [f"{_names(flat)} rendered as one flat colour: training failed. Try another --seed."]


def _of_masks(run: Run, evaluation: Evaluation) -> list[str]:
    sizes = evaluation.kernel_size
    if sizes is None or run.config.blur.model != "dynamic":
        return []
    if sizes.mean_size < _COLLAPSED_SIZE:
        return [
            f"The mask has collapsed: {sizes.mean_size:.2f} rays per pixel on average, so nearly "
            "every pixel is treated as sharp. If the photos are blurry, train longer."
        ]
    full = [v.name for v in sizes.views if v.mean_size > _SATURATED_SHARE * run.motions]
    if not full:
        return []
    return [
        f"The kernel of {_names(full)} is saturated: nearly all {run.motions} rays are open. "
        "More motions may restore more detail."
    ]


def _of_motions(run: Run) -> list[str]:
    depth = middle_depth(run.scene)
    single, drifted, far = [], [], []
    for index in run.scene.train_indices:
        view = run.scene.views[index]
        weights = run.weights(index)
        trail = centre_displacements(view.camera, run.motion_poses(index), depth)
        if weights.max() > _SINGLE_RAY_WEIGHT:
            single.append(view.name)
        if np.linalg.norm(weights @ trail) > _DRIFT_PIXELS:
            drifted.append(view.name)
        if np.linalg.norm(trail, axis=1).max() > _FAR_SHARE * view.camera.width:
            far.append(view.name)
    found = []
    if single and len(single) == len(run.scene.train_indices):
        found.append("Every view's kernel has shrunk to a single ray: no blur was modelled.")
    if drifted:
        found.append(
            f"The motions of {_names(drifted)} lie more than {_DRIFT_PIXELS:g} pixels to one side "
            "of the given pose: the pose may be wrong, or the sharp scene has drifted."
        )
    if far:
        found.append(
            f"A motion of {_names(far)} moves the image centre by more than {_FAR_SHARE:.0%} of "
            "the width: the blur is extreme, or the kernel has run away."
        )
    return found


def _of_poses(run: Run) -> list[str]:
    depth = middle_depth(run.scene)
    misplaced = []
    for index in run.scene.train_indices:
        view = run.scene.views[index]
        from_given = np.stack([view.pose, run.pose(index)])
        _, moved = centre_displacements(view.camera, from_given, depth)
        if np.linalg.norm(moved) > _MISPLACED_SHARE * view.camera.width:
            misplaced.append(view.name)
    if not misplaced:
        return []
    return [
        f"The given pose of {_names(misplaced)} was corrected by more than "
        f"{_MISPLACED_SHARE:.0%} of the width. Where it is far off, the photo does more harm than "
        "good: estimate the poses anew, or leave it out."
    ]


def _of_scores(evaluation: Evaluation, baseline: Mapping[str, Evaluation]) -> list[str]:
    found = []
    if not evaluation.views:
        found.append("There are no held-out views, so nothing measures unseen viewpoints.")
    elif len(evaluation.views) < _FEW_VIEWS:
        found.append(
            f"Only {len(evaluation.views)} held-out view(s): small differences mean nothing."
        )
    worse = [
        score.name
        for score in evaluation.restored
        if score.psnr < score.psnr_blurry < _ALREADY_SHARP_PSNR
    ]
    if worse:
        found.append(f"Restoring made {_names(worse)} worse than the blurry photo itself.")
    own = evaluation.mean["psnr"]
    for label, other in baseline.items():
        rival = other.mean["psnr"]
        if own is not None and rival is not None and rival > own:
            found.append(f"“{label}” scores {rival - own:.2f} dB higher on the held-out views.")
    return found


def _names(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
