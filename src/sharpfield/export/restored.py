"""The training photos, sharp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sharpfield.evaluate.evaluation import RestoredPhotos
from sharpfield.evaluate.images import image_file_name, to_8bit, write_image
from sharpfield.progress import OnProgress, ignore
from sharpfield.run import Run


def restore(
    run: Run,
    known: RestoredPhotos | None = None,
    progress: OnProgress = ignore,
    rendered: bool = False,
) -> list[Path]:
    """Write RUN/restored/<photo name>: each training photo, sharp, as ``Run.restore_view`` has it.

    Or, if ``rendered``, as the field alone does: without noise, and without detail that it lacks.

    The files have the names and the size (as trained, after ``--downscale``) of the photos, their
    EXIF and colour profile; a format that cannot be written becomes PNG. ``known``: see
    ``restored_photo``. ``progress`` gets (done, total). Raises ``InputError`` when a file cannot
    be written.
    """
    indices = run.scene.train_indices
    paths = []
    for done, index in enumerate(indices, start=1):
        view = run.scene.views[index]
        path = run.folder / "restored" / image_file_name(view.name)
        if rendered:
            image = to_8bit(run.render_view(index).colour)
        else:
            image = restored_photo(run, index, {} if known is None else known)
        write_image(path, image, view.tags)
        paths.append(path)
        progress(done, len(indices))
    return paths


def restored_photo(
    run: Run, index: int, known: RestoredPhotos
) -> UInt8[np.ndarray, "height width 3"]:
    """A training photo, sharp. It is made once only: ``known`` has, and takes, what is made."""
    name = run.scene.views[index].name
    if name not in known:
        known[name] = to_8bit(run.restore_view(index, run.render_view(index).colour))
    return known[name]
