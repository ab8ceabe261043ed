"""Named configurations, and why they differ from the defaults."""

from __future__ import annotations

from dataclasses import replace

from sharpfield.config import Config
from sharpfield.errors import InputError

PRESETS = ("fast", "default")


def preset(name: str) -> Config:
    """The configuration ``name``. Raises ``InputError`` for an unknown one.

    ``default`` is for a real capture: ten minutes on two CPU cores. ``fast`` shows within a minute
    what a scene will look like, with a smaller table, because few steps cannot fill a large one.
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
    raise InputError(f"--preset {name}: no such preset; use {' or '.join(PRESETS)}")
