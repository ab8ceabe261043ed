"""Image and rank metrics; every image is in display colours, float32 in [0, 1]."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from skimage.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)

from sharpfield.evaluate.protocols import Protocol


def mse(
    render: Float[np.ndarray, "height width 3"],
    photo: Float[np.ndarray, "height width 3"],
    protocol: Protocol,
) -> float:
    """Mean squared error on the protocol's range: on [-1, 1], four times that on [0, 1]."""
    span = protocol.high - protocol.low
    return span**2 * float(mean_squared_error(photo, render))


def psnr(
    render: Float[np.ndarray, "height width 3"], photo: Float[np.ndarray, "height width 3"]
) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images.

    The same number under every protocol: range and offset cancel.
    """
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(photo, render, data_range=1.0))


def ssim(
    render: Float[np.ndarray, "height width 3"],
    photo: Float[np.ndarray, "height width 3"],
    protocol: Protocol,
) -> float | None:
    """Structural similarity (Wang et al. 2004), mean over colours; None if too small."""
    if min(photo.shape[:2]) < protocol.ssim_window:
        return None
    span = protocol.high - protocol.low
    return float(
        structural_similarity(
            photo * span + protocol.low,
            render * span + protocol.low,
            data_range=span,
            channel_axis=-1,
            win_size=protocol.ssim_window,
            gaussian_weights=protocol.ssim_sigma is not None,
            sigma=protocol.ssim_sigma or 0.0,
            use_sample_covariance=protocol.ssim_sample_covariance,
        )
    )


def flip_map(
    render: Float[np.ndarray, "height width 3"],
    photo: Float[np.ndarray, "height width 3"],
    pixels_per_degree: float = 67.0,
) -> Float[np.ndarray, "height width"] | None:
    """The LDR FLIP error per pixel in [0, 1] (Andersson et al. 2020); None without its package."""
    try:
        import flip_evaluator
    except (ImportError, OSError):
        return None
    error, _, _ = flip_evaluator.evaluate(
        photo, render, "LDR", applyMagma=False, parameters={"ppd": pixels_per_degree}
    )
    return np.asarray(error, dtype=np.float32)[..., 0]


def flip(
    render: Float[np.ndarray, "height width 3"],
    photo: Float[np.ndarray, "height width 3"],
    pixels_per_degree: float = 67.0,
) -> float | None:
    """Mean LDR FLIP error (0 is best); None when flip-evaluator is not installed."""
    error = flip_map(render, photo, pixels_per_degree)
    return None if error is None else float(error.mean())


@dataclass(frozen=True)
class Lpips:
    """Learned perceptual distance (Zhang et al. 2018), where the optional package works.

    ``hint`` is one line that says why there is no value, None when there is one.
    """

    hint: str | None
    _network: Any = field(default=None, repr=False)

    @classmethod
    def load(cls, backbone: str) -> Lpips:
        """Load the network once; never raises for a missing package or missing weights."""
        try:
            import lpips

            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return cls(None, lpips.LPIPS(net=backbone, verbose=False).eval())
        except ImportError:
            return cls("LPIPS was left out: the package lpips is not installed (pip install lpips)")
        except (RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return cls(f"LPIPS was left out: its {backbone} weights could not be loaded ({reason})")

    def __call__(
        self,
        render: Float[np.ndarray, "height width 3"],
        photo: Float[np.ndarray, "height width 3"],
    ) -> float | None:
        """The distance (0 is best), or None where the package does not work."""
        if self._network is None:
            return None
        import torch

        pair = [
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None] * 2 - 1
            for image in (render, photo)
        ]
        try:
            with torch.no_grad():
                return float(self._network(*pair))
        except RuntimeError:
            return None


def spearman(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float | None:
    """Spearman's rank correlation; None when a side is constant or has fewer than two values."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
