"""The classic pipeline, small: NeRF's networks and DP-NeRF's adaptive weights."""

from __future__ import annotations

from dataclasses import replace

from tests.train.small_scene import STEPS, small_config

from sharpfield.config import (
    AdaptiveConfig,
    BlurName,
    Config,
    HierarchicalConfig,
    MlpConfig,
    MotionsName,
    RigidNetworkConfig,
)


def classic_config(model: BlurName, steps: int = STEPS, pixels: int = 64) -> Config:
    """``small_config`` with the field ``mlp``, deep enough for its skip connection."""
    config = small_config(model, steps=steps)
    motions_from: MotionsName = "network" if model == "rigid" else "path"
    return replace(
        config,
        field_name="mlp",
        mlp=MlpConfig(
            depth=3,
            width=16,
            fine_depth=6,
            fine_width=24,
            position_octaves=4,
            direction_octaves=1,
        ),
        hierarchical=HierarchicalConfig(coarse=6, fine=5, density_noise=1.0),
        blur=replace(config.blur, motions_from=motions_from),
        rigid_network=RigidNetworkConfig(encoder_depth=2, encoder_width=8, rotation_width=8),
        adaptive=AdaptiveConfig(
            enabled=True, sample_depth=2, sample_width=12, motion_width=8, handover=True
        ),
        train=replace(
            config.train, pixels=pixels, beta2=0.999, epsilon=1e-8, head_rate=1.5e-2, table_rate=0.0
        ),
    )
