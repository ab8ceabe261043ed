"""Named configurations, and why they differ from the defaults."""

from __future__ import annotations

from dataclasses import replace

from sharpfield.config import Config
from sharpfield.errors import InputError

PRESETS = ("fast", "default", "paper")


def preset(name: str) -> Config:
    """The configuration ``name``. Raises ``InputError`` for an unknown one.

    ``default`` is for a real capture: ten minutes on two CPU cores. ``fast`` shows within a minute
    what a scene will look like, with a smaller table, because few steps cannot fill a large one.
    ``paper`` is the classic system, for a GPU and a day: the networks, samples, rates and number
    of steps of DP-NeRF.
    """
    config = Config()
    if name == "default":
        return replace(config, train=replace(config.train, time_budget=600.0))
    if name == "fast":
        return replace(
            config,
            train=replace(config.train, time_budget=60.0),
            hashgrid=replace(config.hashgrid, log2_entries=16),
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
        blur=replace(config.blur, motions=4),
        adaptive=replace(config.adaptive, enabled=True),
        train=replace(
            config.train,
            pixels=1024,
            steps=steps,
            warmup=1200 / steps,
            head_rate=5e-4,
            blur_rate=5e-4,
            mask_rate=5e-4,
            final_rate=0.1 ** (steps / tenfold_decay),
            beta2=0.999,
            epsilon=1e-8,
        ),
    )
