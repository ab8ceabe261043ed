"""The plots of the report: transparent PNG files that read well on light and dark pages."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from sharpfield.export.maps import KERNEL_COLOURS
from sharpfield.report.training_curve import TrainingCurve

_GREY = "#8a8f98"
_GRID = "#8a8f9840"
_RING = "#8a8f9880"
_ACCENT = "#4f8ef7"
_SECOND = "#e0803a"
_DPI = 160


def curve_figure(curve: TrainingCurve) -> bytes:
    """PSNR and rays per pixel over the training seconds, as PNG."""
    figure = Figure(figsize=(9.6, 2.9), dpi=_DPI, layout="constrained")
    quality, cost = figure.subplots(1, 2)
    quality.plot(curve.seconds, curve.psnr, color=_ACCENT, alpha=0.3, linewidth=0.8)
    quality.plot(curve.seconds, curve.psnr_smooth, color=_ACCENT, linewidth=1.8)
    quality.set_ylabel("PSNR on blurry pixels (dB)")
    cost.plot(
        curve.seconds,
        curve.rays_per_pixel,
        color=_ACCENT,
        linewidth=1.8,
        label="rendered, mean so far",
    )
    cost.set_ylabel("rays per pixel")
    if np.isfinite(curve.kernel_size).any():
        cost.plot(
            curve.seconds,
            curve.kernel_size,
            color=_SECOND,
            linewidth=1.4,
            linestyle="--",
            label="kernel size now",
        )
        cost.legend(frameon=False, labelcolor=_GREY, fontsize=9)
    cost.set_ylim(bottom=0)
    for axes in (quality, cost):
        axes.set_xlabel("training seconds")
        _style(axes)
    return _png(figure)


def motion_figure(
    displacements: Float[np.ndarray, "motions 2"],
    weights: Float[np.ndarray, " motions"],
    reach: float,
) -> bytes:
    """The trail of the image centre, as PNG of 3:2: area = weight, colour = order, rings in pixels.

    The figure shows ``reach`` pixels above and below the given pose, so that trails of several
    views can be compared.
    """
    figure = Figure(figsize=(3.0, 2.0), dpi=_DPI)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-1.5 * reach, 1.5 * reach)
    axes.set_ylim(reach, -reach)
    _draw_rings(axes, reach)
    colours = colormaps[KERNEL_COLOURS](np.linspace(0.15, 0.95, len(displacements)))
    for (x, y), colour in zip(displacements, colours, strict=True):
        axes.plot([0, x], [0, y], color=colour, linewidth=0.8, alpha=0.5)
    ends_x, ends_y = displacements.T
    area = 10 + 200 * weights
    axes.scatter(ends_x, ends_y, s=area, c=colours, edgecolors="none", alpha=0.95, zorder=3)
    axes.scatter([0], [0], marker="+", s=60, color=_SECOND, linewidths=1.4, zorder=4)
    return _png(figure)


def _draw_rings(axes: Axes, reach: float) -> None:
    radii = np.asarray(MaxNLocator(nbins=2, steps=[1, 2, 5, 10]).tick_values(0.0, reach))
    for radius in radii[(radii > 0) & (radii <= reach)]:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=_RING, linewidth=0.8))
        label = f"{radius:g} px"
        axes.annotate(label, (0.71 * radius, -0.71 * radius), color=_GREY, fontsize=12)


def _style(axes: Axes) -> None:
    axes.patch.set_alpha(0.0)
    axes.grid(True, color=_GRID, linewidth=0.6)
    axes.tick_params(colors=_GREY, labelsize=8, length=0)
    axes.xaxis.label.set_color(_GREY)
    axes.yaxis.label.set_color(_GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _png(figure: Figure) -> bytes:
    figure.patch.set_alpha(0.0)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return buffer.getvalue()
