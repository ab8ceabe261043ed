"""The training photos, sharp."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sharpfield.evaluate.images import image_file_name, to_8bit, write_image
from sharpfield.run import Run


def restore(
    run: Run,
    renders: Mapping[str, UInt8[np.ndarray, "height width 3"]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write RUN/restored/<photo name>: each training photo rendered sharp at its given pose.

    The files have the names and the size (as trained, after ``--downscale``) of the photos; a
    format that cannot be written becomes PNG. ``renders`` are sharp renders at hand by photo name,
    such as ``Evaluation.renders``; they are not rendered again. ``progress`` gets (done, total).
    Raises ``InputError`` when a file cannot be written.
    """
    at_hand = renders or {}
    indices = run.scene.train_indices
    paths = []
    for done, index in enumerate(indices, start=1):
        view = run.scene.views[index]
        image = at_hand.get(view.name)
        if image is None:
            image = to_8bit(run.render_view(index).colour)
        path = run.folder / "restored" / image_file_name(view.name)
        write_image(path, image)
        paths.append(path)
        if progress is not None:
            progress(done, len(indices))
    return paths
