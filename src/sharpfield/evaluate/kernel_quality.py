"""How well the kernel size that the blur model chose follows the blur that is really there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter
from skimage.color import rgb2gray

from sharpfield.evaluate.metrics import spearman
from sharpfield.run import Run

TEXTURE_WINDOW = 5
TEXTURE_PERCENTILE = 40.0
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PhotoKernelSize:
    """Mean kernel size of a photo in rays per pixel; mean true blur extent in pixels, if known."""

    name: str
    mean_size: float
    mean_true_extent: float | None


@dataclass(frozen=True)
class KernelQuality:
    """Kernel sizes of all training photos, and their rank correlation with the true blur extent.

    ``spearman`` pools the textured pixels of all training photos whose true sharp photo and true
    extent are known; None when there is no truth. A pixel is textured when the standard deviation
    of the true sharp luminance (display colours) in the 5x5 window around it exceeds the 40th
    percentile of that deviation over all these photos. ``texture_threshold`` is that percentile,
    ``textured_pixels`` their number: blur cannot be seen, nor matters, in flat areas.
    """

    mean_size: float
    views: tuple[PhotoKernelSize, ...]
    spearman: float | None
    texture_window: int
    texture_percentile: float
    texture_threshold: float | None
    textured_pixels: int


def kernel_quality(run: Run) -> KernelQuality:
    """Measure the kernel sizes of a run's training photos, against the truth where it is known."""
    photos, sizes, extents, textures = [], [], [], []
    for index in run.scene.train_indices:
        name = run.scene.views[index].name
        size = run.kernel_size(index)
        extent = sharp = None
        if run.truth is not None:
            extent = run.truth.extent.get(Path(name).stem)
            sharp = run.truth.sharp.get(name)
        mean_extent = None if extent is None else float(extent.mean())
        photos.append(PhotoKernelSize(name, float(size.mean()), mean_extent))
        if extent is not None and sharp is not None:
            sizes.append(size.ravel())
            extents.append(extent.ravel())
            textures.append(local_deviation(sharp).ravel())
    mean_size = float(np.mean([photo.mean_size for photo in photos])) if photos else float("nan")
    correlation = threshold = None
    textured: Bool[np.ndarray, " pixels"] = np.zeros(0, dtype=bool)
    if textures:
        deviation = np.concatenate(textures)
        threshold = float(np.percentile(deviation, TEXTURE_PERCENTILE))
        textured = deviation > threshold
        correlation = spearman(np.concatenate(sizes)[textured], np.concatenate(extents)[textured])
    return KernelQuality(
        mean_size=mean_size,
        views=tuple(photos),
        spearman=correlation,
        texture_window=TEXTURE_WINDOW,
        texture_percentile=TEXTURE_PERCENTILE,
        texture_threshold=threshold,
        textured_pixels=int(textured.sum()),
    )


def local_deviation(
    photo: Float[np.ndarray, "height width 3"], window: int = TEXTURE_WINDOW
) -> Float[np.ndarray, "height width"]:
    """Standard deviation of the display luminance in a square window around each pixel."""
    luminance = rgb2gray(photo.astype(np.float64))
    mean = uniform_filter(luminance, window)
    variance = uniform_filter(luminance**2, window) - mean**2
    return np.sqrt(np.where(variance > _ROUNDING, variance, 0.0))
