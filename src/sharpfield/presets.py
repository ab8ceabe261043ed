"""Named configurations, and why they differ from the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sharpfield.config import Config
from sharpfield.errors import InputError

PRESETS = ("fast", "default", "best", "paper")

BLURS: Mapping[str, tuple[str, ...]] = {
    "none": ("blur.model=none",),
    "sparse": (
        "blur.model=sparse",
        "blur.motions=4",
        "sparse.alignment=0.01",
        "train.blur_rate=0.03",
    ),
    "rigid": ("blur.model=rigid", "blur.motions_from=path"),
    "trajectory": (
        "blur.model=rigid",
        "blur.motions_from=path",
        "blur.origin=false",
        "blur.path_points=4",
        "blur.freedom=0",
        "blur.even_weights=true",
    ),
    "lens": ("blur.model=rigid", "blur.motions_from=lens"),
    "dynamic": ("blur.model=dynamic", "blur.motions_from=path+lens"),
}
"""The settings of each named blur model. ``trajectory``: BAD-NeRF's virtual cameras, all alike, on
a cubic curve. ``lens``: points of a thin lens, for defocus."""


def blur_settings(name: str, config: Config) -> tuple[str, ...]:
    """The settings that make ``config`` have the blur model ``name``; none where it has it already.

    Raises ``InputError`` for an unknown one.
    """
    if name not in BLURS:
        raise InputError(f"--blur {name}: no such blur model; use {' or '.join(BLURS)}")
    return () if name == config.blur.model else BLURS[name]


def preset(name: str) -> Config:
    """The configuration ``name``. Raises ``InputError`` for an unknown one.

    ``default`` is for a real capture: ten minutes on two CPU cores. ``fast`` shows within a minute
    what a scene will look like: with smaller steps, because the first ones may be rough but must be
    many; with a larger share of them before the kernel opens, but no more than it takes; with fewer
    places for samples along a ray; with rates that stay high; and with fewer motions, all of them
    open at first, because there is no time to tell more apart, or to learn some of them later.
    ``best`` is ``default`` for an hour: in half of that a field learns what it can from such
    photos, so two train in turns. ``paper`` is the classic system, for a GPU and a day: the
    networks, samples, rates and number of steps of DP-NeRF, and poses as they are given.
    """
    config = Config()
    if name == "default":
        return replace(config, train=replace(config.train, time_budget=600.0))
    if name == "best":
        return replace(
            config,
            train=replace(config.train, time_budget=3600.0),
            hashgrid=replace(config.hashgrid, ensemble=2),
        )
    if name == "fast":
        return replace(
            config,
            render=replace(config.render, steps_per_pixel=0.25),
            train=replace(
                config.train,
                time_budget=60.0,
                samples=24576,
                warmup=0.1,
                warmup_steps=180,
                settle_steps=600,
                final_rate=0.4,
            ),
            blur=replace(config.blur, motions=6, first_size=0),
        )
    if name == "paper":
        return _paper(config)
    raise InputError(f"--preset {name}: no such preset; use {' or '.join(PRESETS)}")


def _paper(config: Config) -> Config:
    steps, tenfold_decay = 200_000, 250_000
    return replace(
        config,
        field_name="mlp",
        hierarchical=replace(config.hierarchical, density_noise=1.0),
        blur=replace(
            config.blur,
            motions=4,
            motions_from="path",
            motions_every=1,
            refine=0.0,
            ray_spacing=0.0,
        ),
        adaptive=replace(config.adaptive, enabled=True),
        train=replace(
            config.train,
            pixels=1024,
            textured=0.0,
            large_errors=0.0,
            steps=steps,
            warmup=1200 / steps,
            head_rate=5e-4,
            blur_rate=5e-4,
            lens_rate=5e-4,
            mask_rate=5e-4,
            final_rate=0.1 ** (steps / tenfold_decay),
            average=0.0,
            beta2=0.999,
            epsilon=1e-8,
        ),
    )
