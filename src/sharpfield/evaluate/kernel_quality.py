"""How well the kernels that the blur model found follow the blur that is really there."""

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
class PhotoKernel:
    """Means over a photo: rays per pixel and, if the truth is known, extents in pixels.

    They are those of the kernels found and of the true blur.
    """

    name: str
    mean_size: float
    mean_extent: float | None
    mean_true_extent: float | None


@dataclass(frozen=True)
class KernelQuality:
    """Kernels of all training photos, and their rank correlation with the true blur extent.

    ``spearman`` is that of the kernel size in rays per pixel, ``extent_spearman`` that of the
    kernel's extent in pixels. Both pool the textured pixels of all training photos whose true sharp
    photo and true extent are known; None when there is no truth. A pixel is textured when the
    standard deviation of the true sharp luminance (display colours) in the 5x5 window around it
    exceeds the 40th percentile of that deviation over all these photos. ``texture_threshold`` is
    that percentile, ``textured_pixels`` their number: blur cannot be seen, nor matters, in flat
    areas.
    """

    mean_size: float
    views: tuple[PhotoKernel, ...]
    spearman: float | None
    extent_spearman: float | None
    texture_window: int
    texture_percentile: float
    texture_threshold: float | None
    textured_pixels: int


def kernel_quality(run: Run) -> KernelQuality:
    """Measure the kernels of a run's training photos, against the truth where it is known."""
    photos, sizes, found, extents, textures = [], [], [], [], []
    for index in run.scene.train_indices:
        name = run.scene.views[index].name
        size = run.kernel_size(index)
        extent = sharp = reach = None
        if run.truth is not None:
            extent = run.truth.extent.get(Path(name).stem)
            sharp = run.truth.sharp.get(name)
            reach = run.kernel_extent(index)
        photos.append(PhotoKernel(name, float(size.mean()), _mean(reach), _mean(extent)))
        if extent is not None and sharp is not None and reach is not None:
            sizes.append(size.ravel())
            found.append(reach.ravel())
            extents.append(extent.ravel())
            textures.append(local_deviation(sharp).ravel())
    mean_size = float(np.mean([photo.mean_size for photo in photos])) if photos else float("nan")
    of_size = of_extent = threshold = None
    textured: Bool[np.ndarray, " pixels"] = np.zeros(0, dtype=bool)
    if textures:
        deviation = np.concatenate(textures)
        threshold = float(np.percentile(deviation, TEXTURE_PERCENTILE))
        textured = deviation > threshold
        true = np.concatenate(extents)[textured]
        of_size = spearman(np.concatenate(sizes)[textured], true)
        of_extent = spearman(np.concatenate(found)[textured], true)
    return KernelQuality(
        mean_size=mean_size,
        views=tuple(photos),
        spearman=of_size,
        extent_spearman=of_extent,
        texture_window=TEXTURE_WINDOW,
        texture_percentile=TEXTURE_PERCENTILE,
        texture_threshold=threshold,
        textured_pixels=int(textured.sum()),
    )


def _mean(values: Float[np.ndarray, "height width"] | None) -> float | None:
    return None if values is None else float(values.mean())


def local_deviation(
    photo: Float[np.ndarray, "height width 3"], window: int = TEXTURE_WINDOW
) -> Float[np.ndarray, "height width"]:
    """Standard deviation of the display luminance in a square window around each pixel."""
    luminance = rgb2gray(photo.astype(np.float64))
    mean = uniform_filter(luminance, window)
    variance = uniform_filter(luminance**2, window) - mean**2
    return np.sqrt(np.where(variance > _ROUNDING, variance, 0.0))
