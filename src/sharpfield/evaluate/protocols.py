"""Named ways of scoring renders; numbers compare only within one protocol."""

from __future__ import annotations

from dataclasses import dataclass

from sharpfield.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """Everything that changes a number although the renders stay the same.

    ``low`` and ``high`` are the values that black and white get before PSNR and SSIM; the data
    range is their difference. ``ssim_sigma`` is the standard deviation of a Gaussian SSIM window
    in pixels; None means a uniform window. ``bits`` quantises the renders.
    """

    name: str
    split: str
    ssim_window: int
    ssim_sigma: float | None
    ssim_sample_covariance: bool
    low: float
    high: float
    bits: int = 8
    lpips_backbone: str = "alex"
    flip_pixels_per_degree: float = 67.0
    test_pose_fitting: bool = False


_SPLIT = "held-out photos of the scene (every hold-th view), never seen in training"

STANDARD = Protocol(
    name="standard",
    split=_SPLIT,
    ssim_window=11,
    ssim_sigma=1.5,
    ssim_sample_covariance=False,
    low=0.0,
    high=1.0,
)
"""Wang et al. 2004: SSIM with a Gaussian window on [0, 1]."""

PAPER = Protocol(
    name="paper",
    split=_SPLIT,
    ssim_window=7,
    ssim_sigma=None,
    ssim_sample_covariance=True,
    low=-1.0,
    high=1.0,
)
"""Deblur-NeRF's `metrics.py`, which the tables of its successors use: [-1, 1], uniform window."""

PROTOCOLS = {protocol.name: protocol for protocol in (STANDARD, PAPER)}


def find_protocol(name: str) -> Protocol:
    """The protocol with this name; raises ``InputError`` when there is none."""
    if name not in PROTOCOLS:
        known = " or ".join(PROTOCOLS)
        raise InputError(f"--protocol {name}: no such protocol; use {known}")
    return PROTOCOLS[name]
